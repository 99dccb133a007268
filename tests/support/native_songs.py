"""Songs by ComfyUI's own nodes: graphs in API format, and as its editor saves them.

Ids are numbers, as ComfyUI's own. The saved form is written here from the nodes' declarations, not by the converter.
"""

from __future__ import annotations

from typing import Any

from acestep_xl.runner.node_table import NodeTable

Api = dict[str, dict[str, Any]]

MODEL, ENCODER, VAE = "acestep_v1.5_xl_sft_tiny.safetensors", "qwen_0.6b_ace15.safetensors", "ace_1.5_vae.safetensors"
SECONDS = 8.0
# Longer than this pack's encode node takes, so that TextEncodeAceStepAudio1.5 stays.
NATIVE_DURATION = 700.0


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of an API export."""
    return {"class_type": kind, "inputs": inputs}


def text(tags: str, **inputs: Any) -> dict[str, Any]:
    """ComfyUI's text encode node, fed by the loader's CLIP."""
    values = {
        "clip": ["2", 0],
        "tags": tags,
        "lyrics": "[Verse]\nla la la",
        "seed": 5,
        "bpm": 90,
        "duration": SECONDS,
        "timesignature": "3",
        "language": "en",
        "keyscale": "A minor",
        "generate_audio_codes": False,
        "cfg_scale": 2.0,
        "temperature": 0.85,
        "top_p": 0.9,
        "top_k": 0,
        "min_p": 0.0,
    }
    return node("TextEncodeAceStepAudio1.5", **{**values, **inputs})


def split(**sampling: Any) -> Api:
    """The graph with three loaders and KSampler. sampling: values of KSampler."""
    settings = {"seed": 7, "steps": 5, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    return {
        "1": node("UNETLoader", unet_name=MODEL, weight_dtype="default"),
        "2": node("DualCLIPLoader", clip_name1=ENCODER, clip_name2=ENCODER, type="ace", device="default"),
        "3": node("VAELoader", vae_name=VAE),
        "4": text("slow waltz"),
        "5": node("ConditioningZeroOut", conditioning=["4", 0]),
        "6": node("EmptyAceStep1.5LatentAudio", seconds=SECONDS, batch_size=1),
        "7": node("ModelSamplingAuraFlow", model=["1", 0], shift=2.0),
        "8": node(
            "KSampler",
            model=["7", 0],
            **{**settings, **sampling},
            positive=["4", 0],
            negative=["5", 0],
            latent_image=["6", 0],
        ),
        "9": node("VAEDecodeAudio", samples=["8", 0], vae=["3", 0]),
        "10": node("SaveAudioMP3", audio=["9", 0], filename_prefix="audio/song", quality="V0", audioUI=""),
    }


def all_in_one(**sampling: Any) -> Api:
    """The graph with one file for all models."""
    graph = split(**sampling)
    for name in ("2", "3"):
        del graph[name]
    graph["1"] = node("CheckpointLoaderSimple", ckpt_name="acestep_v1.5_xl_sft_tiny_aio.safetensors")
    graph["4"]["inputs"]["clip"] = ["1", 1]
    graph["9"]["inputs"]["vae"] = ["1", 2]
    return graph


def custom(sampler: str = "euler", scheduler: str = "simple", denoise: float = 1.0, cfg: float = 3.0) -> Api:
    """The graph with SamplerCustomAdvanced."""
    graph = split()
    return graph | {
        "8": node(
            "SamplerCustomAdvanced",
            noise=["11", 0],
            guider=["12", 0],
            sampler=["13", 0],
            sigmas=["14", 0],
            latent_image=["6", 0],
        ),
        "11": node("RandomNoise", noise_seed=7),
        "12": node("CFGGuider", model=["7", 0], positive=["4", 0], negative=["5", 0], cfg=cfg),
        "13": node("KSamplerSelect", sampler_name=sampler),
        "14": node("BasicScheduler", model=["7", 0], scheduler=scheduler, steps=5, denoise=denoise),
    }


def saved(graph: Api, table: NodeTable, **extra: Any) -> dict[str, Any]:
    """A graph of known classes as the editor saves it, in two columns of nodes 300 wide and 200 high."""
    links: list[list[Any]] = []
    nodes: dict[str, dict[str, Any]] = {}
    for index, (node_id, entry) in enumerate(graph.items()):
        spec = table.spec(entry["class_type"])
        assert spec is not None, entry["class_type"]
        values: list[Any] = []
        for item in spec.inputs.values():
            if item.is_widget:
                value = entry["inputs"].get(item.name, item.default)
                values.append(item.default if isinstance(value, list) else value)
                values += ["randomize"] if item.control_values else []
        widget = lambda item: {"widget": {"name": item.name}} if item.is_widget else {}  # noqa: E731
        nodes[node_id] = {
            "id": int(node_id),
            "type": entry["class_type"],
            "pos": [400 * (index % 2), 300 * (index // 2)],
            "size": [300, 200],
            "flags": {},
            "order": index,
            "mode": 0,
            "inputs": [{"name": i.name, "type": i.type, "link": None} | widget(i) for i in spec.inputs.values()],
            "outputs": [{"name": kind, "type": kind, "links": []} for kind in spec.returns],
            "properties": {"cnr_id": "comfy-core", "Node name for S&R": entry["class_type"]},
            "widgets_values": values,
        }
    for node_id, entry in graph.items():
        for name, value in entry["inputs"].items():
            if isinstance(value, list):
                slot = next(i for i, item in enumerate(nodes[node_id]["inputs"]) if item["name"] == name)
                output = nodes[value[0]]["outputs"][value[1]]
                links.append([len(links) + 1, int(value[0]), value[1], int(node_id), slot, output["type"]])
                nodes[node_id]["inputs"][slot]["link"] = len(links)
                output["links"].append(len(links))
    file = {"last_node_id": 99, "last_link_id": 99, "nodes": list(nodes.values()), "links": links, "groups": []}
    return file | {"config": {}, "extra": {}, "version": 0.4} | extra
