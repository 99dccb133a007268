"""Loading, levels and files."""

from __future__ import annotations

from .kind import Parameter

OUTPUT = (
    Parameter(
        "precision",
        "CHOICE",
        "auto",
        "Number format of the network. auto: bf16 where the device has it, float32 elsewhere. fp16 keeps the parts "
        "that overflow in float32.",
        choices=("auto", "bf16", "fp16", "fp32"),
    ),
    Parameter(
        "normalize",
        "BOOLEAN",
        True,
        "Bring the peak to peak_db. Off: only peaks above full scale are lowered.",
    ),
    Parameter(
        "peak_db",
        "FLOAT",
        -1.0,
        "Peak level of the result in dBFS, for quiet and loud songs alike.",
        minimum=-30.0,
        maximum=0.0,
        step=0.1,
    ),
    Parameter(
        "fade_in",
        "FLOAT",
        0.0,
        "Linear fade at the start, in seconds.",
        minimum=0.0,
        maximum=60.0,
        step=0.1,
    ),
    Parameter(
        "fade_out",
        "FLOAT",
        0.0,
        "Linear fade at the end, in seconds.",
        minimum=0.0,
        maximum=60.0,
        step=0.1,
    ),
    Parameter(
        "filename_prefix",
        "STRING",
        "audio/acestep",
        "Start of the file name, inside the output folder; may contain folders, %year% %month% %day% %hour% %minute% "
        "%second%, and %batch_num% for the song's place in its batch, from 0.",
    ),
    Parameter(
        "plot_prefix",
        "STRING",
        "plots/acestep",
        "Start of the picture's name, inside the output folder; may contain folders.",
    ),
    Parameter(
        "audio_format",
        "CHOICE",
        "flac",
        "flac and wav are lossless, mp3 and ogg (Vorbis) are small.",
        choices=("flac", "wav", "mp3", "ogg"),
    ),
    Parameter(
        "bit_depth",
        "CHOICE",
        "24",
        "Bits per sample. 32 is floating point and WAV only; MP3 and OGG have none and ignore it.",
        choices=("16", "24", "32"),
    ),
    Parameter(
        "bitrate",
        "INT",
        0,
        "Of MP3 and OGG in kbps; what is allowed depends on format, sample rate and channels. 0: the highest of those. "
        "FLAC and WAV have none: leave it 0.",
        minimum=0,
        maximum=320,
        step=1,
    ),
    Parameter(
        "sample_rate",
        "CHOICE",
        "auto",
        "Resample to this rate in Hz. auto: as it comes. MP3 goes up to 48000; OGG has 8000, 12000, 16000, 24000 and "
        "48000.",
        choices=tuple("auto 8000 11025 12000 16000 22050 24000 32000 44100 48000 88200 96000".split()),
    ),
    Parameter(
        "channels",
        "CHOICE",
        "auto",
        "1 mixes to mono, 2 to stereo. auto: as it comes.",
        choices=("auto", "1", "2"),
    ),
    Parameter(
        "sidecar",
        "BOOLEAN",
        False,
        "Also write a JSON file of the same name with what is in the sound file, the seed, the settings and the "
        "workflow.",
    ),
    Parameter("title", "STRING", "", "Title of the song, as players show it. Empty: none."),
    Parameter(
        "text_form",
        "CHOICE",
        "data URI",
        "data URI is what a browser opens and an HTML page plays; base64 is the bytes of the file alone.",
        choices=("data URI", "base64"),
    ),
    Parameter(
        "upload_urls",
        "STRING",
        "",
        "Where to send the files by HTTP PUT, one URL per song and line, such as presigned ones of a cloud storage. "
        "ComfyUI keeps the URLs, with any secret in them, in the workflow, in its history and in the files of its own "
        "save nodes; the files of this pack have them without their query.",
        multiline=True,
    ),
    Parameter(
        "webhook_url",
        "STRING",
        "",
        "Gets an HTTP POST of JSON for every song. ComfyUI keeps the URL, with any secret in it, in the workflow, in "
        "its history and in the files of its own save nodes; the files of this pack have it without its query.",
    ),
    Parameter(
        "webhook_fields",
        "STRING",
        "{}",
        "A JSON object whose fields are added to the message; one of the same name takes the place of ours.",
        multiline=True,
    ),
    Parameter(
        "webhook_attach",
        "CHOICE",
        "nothing",
        "Also send the file itself: as audioDataURI or audioBase64Data.",
        choices=("nothing", "data URI", "base64"),
    ),
    Parameter(
        "allow_private",
        "BOOLEAN",
        False,
        "Also connect to this machine and to private networks. Leave it off for workflows of other people.",
    ),
    Parameter(
        "transfer_timeout",
        "FLOAT",
        300.0,
        "Longest time for one transfer, in seconds.",
        minimum=1.0,
        maximum=3600.0,
        step=1.0,
    ),
)
