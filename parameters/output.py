"""Precision, levels, files and delivery."""

from __future__ import annotations

from .kind import Parameter

OUTPUT = (
    Parameter(
        "precision",
        "CHOICE",
        "auto",
        "Number format of the network. auto: bf16 where the device supports it, otherwise float32. fp16 keeps the "
        "parts that would overflow in float32.",
        choices=("auto", "bf16", "fp16", "fp32"),
    ),
    Parameter(
        "normalize",
        "BOOLEAN",
        True,
        "Normalise the peak to peak_db. Off: only lower peaks above full scale.",
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
        "File name prefix in the output folder; may contain subfolders, %year% %month% %day% %hour% %minute% "
        "%second%, %date:yyyy-MM-dd%, a node's value such as %AceStepXLSampler.seed%, and %batch_num%, the song's "
        "index in its batch, from 0.",
    ),
    Parameter(
        "plot_prefix",
        "STRING",
        "plots/acestep",
        "File name prefix of the plot in the output folder; may contain subfolders and the same tokens as the name "
        "of a song.",
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
        "Bits per sample. 32 is floating point and WAV only; MP3 and OGG have no bit depth and ignore it.",
        choices=("16", "24", "32"),
    ),
    Parameter(
        "bitrate",
        "INT",
        0,
        "Bitrate of MP3 and OGG in kbps; the allowed range depends on format, sample rate and channels. 0: the "
        "highest allowed. Leave it at 0 for FLAC and WAV.",
        minimum=0,
        maximum=320,
        step=1,
    ),
    Parameter(
        "sample_rate",
        "CHOICE",
        "auto",
        "Resample to this rate in Hz. auto: unchanged. MP3 goes up to 48000; OGG supports 8000, 12000, 16000, 24000 "
        "and 48000.",
        choices=tuple("auto 8000 11025 12000 16000 22050 24000 32000 44100 48000 88200 96000".split()),
    ),
    Parameter(
        "channels",
        "CHOICE",
        "auto",
        "1 mixes down to mono, 2 to stereo. auto: unchanged.",
        choices=("auto", "1", "2"),
    ),
    Parameter(
        "sidecar",
        "BOOLEAN",
        False,
        "Also write a JSON file of the same name with the metadata in the audio file: seed, settings and workflow.",
    ),
    Parameter("title", "STRING", "", "Title of the song, as shown by players. Empty: none."),
    Parameter(
        "text_form",
        "CHOICE",
        "data URI",
        "A data URI opens in a browser and plays in an HTML page; base64 is only the bytes of the file.",
        choices=("data URI", "base64"),
    ),
    Parameter(
        "upload_urls",
        "STRING",
        "",
        "Where to upload the files by HTTP PUT: one URL per song, one per line, such as presigned cloud storage "
        "URLs. ComfyUI stores the URLs, including any secrets in them, in the workflow, in its history and in the "
        "files of its own save nodes; this pack's files omit the query.",
        multiline=True,
    ),
    Parameter(
        "webhook_url",
        "STRING",
        "",
        "Receives a JSON HTTP POST for every song. ComfyUI stores the URL, including any secret in it, in the "
        "workflow, in its history and in the files of its own save nodes; this pack's files omit the query.",
    ),
    Parameter(
        "webhook_fields",
        "STRING",
        "{}",
        "A JSON object whose fields are added to the message; a field of the same name replaces ours.",
        multiline=True,
    ),
    Parameter(
        "webhook_attach",
        "CHOICE",
        "nothing",
        "Also send the file itself, as audioDataURI or audioBase64Data.",
        choices=("nothing", "data URI", "base64"),
    ),
    Parameter(
        "allow_private",
        "BOOLEAN",
        False,
        "Also connect to this machine and to private networks. Leave it off for other people's workflows.",
    ),
    Parameter(
        "transfer_timeout",
        "FLOAT",
        300.0,
        "Time limit for one transfer, in seconds.",
        minimum=1.0,
        maximum=3600.0,
        step=1.0,
    ),
)
