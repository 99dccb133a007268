"""Node classes of ComfyUI and of other packs that do not run here: whose they are, and what does their work.

Sources: ComfyUI 0.20.1, ComfyUI-AceStep_SFT, ComfyUI-kaola-ace-step, ComfyUI_RyanOnTheInside, acestep-cpp-comfyui.
"""

from __future__ import annotations

from collections import Counter

from ...parameters import ids
from ..graph import Graph, NodeCall
from ..node_table import NodeTable

CORE = "ComfyUI's own nodes"
OWN = "acestep-xl"  # a class of it that is unknown here is misspelt or of another version
MAX_LISTED = 6  # classes or packs named in the leading sentence


def headline(graph: Graph, table: NodeTable) -> str:
    """What kind of workflow this is, if nodes of others are in it; else "". The leading sentence of an error."""
    foreign = {call.class_type: pack_of(call) for call in graph.values() if call.class_type not in table.classes}
    packs = Counter(pack for pack in foreign.values() if pack)
    if not packs:
        return ""
    # Other packs say more about a workflow than ComfyUI's own nodes.
    *others, last = sorted(packs, key=lambda pack: (pack == CORE, -packs[pack]))
    owners = f"{', '.join(_shorten(others))} and {last}" if others else last
    if any(call.class_type in table.classes for call in graph.values()):
        names = [kind for kind, pack in foreign.items() if pack]
        return (
            f"this workflow also uses {owners}, which only ComfyUI runs: {', '.join(_shorten(names))}; run it in "
            "ComfyUI, or replace them as below"
        )
    return (
        f"this is a workflow for {owners}; this command runs the nodes of this pack, and of ComfyUI's own those that "
        "ACE-Step 1.5 needs: run it in ComfyUI, or start from a shipped workflow, such as text_to_music, cover or "
        "repaint, and set its values"
    )


def explanation(call: NodeCall, graph: Graph) -> str:
    """Whose an unknown class of a graph is and what does its work here; "" for a class of nobody known."""
    if call.class_type.startswith(GROUP_NODES):
        return f"{call.class_type} is a group node; ungroup it in ComfyUI or make it a subgraph, and save it again"
    pack = pack_of(call)
    if not pack:
        return ""
    owner = f"one of {CORE}" if pack == CORE else f"a node of {pack}"
    replacement = REPLACEMENTS.get(pack, {}).get(call.class_type, "")
    if call.class_type in OF_ANY_MODEL and any(other.class_type in PICTURE_CLASSES for other in graph.values()):
        replacement = ""
    return f"{call.class_type} is {owner}; {f'use {replacement}' if replacement else NO_REPLACEMENT}"


def pack_of(call: NodeCall) -> str:
    """The pack that a class belongs to, by its name or as the editor saved it; "" if unknown."""
    for pack, classes in REPLACEMENTS.items():
        if call.class_type in classes:
            return pack
    for mark, pack in NAME_MARKS.items():
        if call.class_type.startswith(mark) or call.class_type.endswith(mark):
            return pack
    if call.class_type in OTHER_CORE_CLASSES:
        return CORE
    # The registry's id, or owner/repository.
    recorded = call.pack.rpartition("/")[2]
    known = {_fold(pack): pack for pack in (*REPLACEMENTS, *NAME_MARKS.values())} | {"comfycore": CORE, _fold(OWN): ""}
    return known.get(_fold(recorded), recorded)


def _shorten(names: list[str]) -> list[str]:
    return names if len(names) <= MAX_LISTED else [*names[:MAX_LISTED], f"{len(names) - MAX_LISTED} more"]


def _fold(pack: str) -> str:
    return pack.lower().replace("-", "").replace("_", "")


GROUP_NODES = ("workflow>", "workflow/")  # of older editors
# Parts at the start or end of class names.
NAME_MARKS = {
    " (rgthree)": "rgthree-comfy",
    "|pysssss": "ComfyUI-Custom-Scripts",
    "easy ": "ComfyUI-Easy-Use",
    "VHS_": "ComfyUI-VideoHelperSuite",
    "ADE_": "ComfyUI-AnimateDiff-Evolved",
    "AceStepSFT": "ComfyUI-AceStep_SFT",
    "ACE_STEP_": "ComfyUI-kaola-ace-step",
    "ACEStep15": "ComfyUI_RyanOnTheInside",
    "AcestepCPP": "acestep-cpp-comfyui",
}
_TEXT_TO_MUSIC = f"{ids.ENCODE}, {ids.GUIDER}, {ids.SAMPLER} and {ids.DECODE}, as in the workflow text_to_music"
_EMPTY_LATENT = f"EmptyAceStep1.5LatentAudio or {ids.EMPTY_LATENT}"
_TEXT_ENCODE = f"TextEncodeAceStepAudio1.5 or {ids.ENCODE}"
_REAL_LINKS = "its menu entry that converts its links to real ones, and save the workflow again"
# What ComfyUI itself offers besides those below and those that run here; nothing here does their work.
OTHER_CORE_CLASSES = frozenset(
    "CLIPSetLastLayer CLIPTextEncodeFlux CLIPVisionEncode CLIPVisionLoader CheckpointLoader ConditioningAverage "
    "ConditioningCombine ConditioningConcat ConditioningSetArea ConditioningSetAreaPercentage ConditioningSetMask "
    "ConditioningSetTimestepRange ControlNetApply ControlNetApplyAdvanced ControlNetLoader DifferentialDiffusion "
    "DiffControlNetLoader EmptyImage FluxGuidance GLIGENLoader GLIGENTextBoxApply ImageBatch ImageInvert "
    "ImagePadForOutpaint ImageScale ImageScaleBy InpaintModelConditioning LatentComposite LatentCrop LatentFlip "
    "LatentRotate LatentUpscale LatentUpscaleBy LoadImage LoadImageMask LoadLatent MaskToImage ImageToMask "
    "ModelMergeSimple ModelSamplingFlux PairConditioningSetProperties PairConditioningSetPropertiesAndCombine "
    "RescaleCFG SaveLatent SetClipHooks StyleModelApply StyleModelLoader TorchCompileModel TripleCLIPLoader "
    "VAEDecodeTiled VAEEncode VAEEncodeForInpaint VAEEncodeTiled unCLIPCheckpointLoader unCLIPConditioning "
    "CreateVideo SaveVideo LoadVideo SaveAnimatedWEBP LatentApplyOperation LatentApplyOperationCFG "
    "LatentOperationTonemapReinhard ConditioningStableAudio StringReplace ComfyMathExpression ComfySwitchNode "
    "CreateHookLora CreateHookModelAsLora CustomCombo MaskComposite".split()
)
# These mean pictures in a graph that has one of the others.
OF_ANY_MODEL = frozenset({"VAEDecode", "EmptyLatentImage", "CLIPTextEncode"})
PICTURE_CLASSES = frozenset(
    "ControlNetApply ControlNetApplyAdvanced ControlNetLoader ImageScale ImageScaleBy ImageUpscaleWithModel LoadImage "
    "LoadImageMask SaveAnimatedWEBP SaveImage VAEDecodeTiled VAEEncode VAEEncodeForInpaint VAEEncodeTiled".split()
)
NO_REPLACEMENT = "nothing here replaces it: take it out, or run the workflow in ComfyUI"
# By pack and class, what does the work here; "" for nothing.
REPLACEMENTS: dict[str, dict[str, str]] = {
    CORE: {
        "ModelSamplingSD3": f"ModelSamplingAuraFlow, or the shift of {ids.SCHEDULE}",
        "CLIPTextEncode": _TEXT_ENCODE,
        "TextEncodeAceStepAudio": _TEXT_ENCODE,
        "EmptyLatentAudio": _EMPTY_LATENT,
        "EmptyAceStepLatentAudio": _EMPTY_LATENT,
        "AddNoise": "",
        "DualCFGGuider": ids.GUIDER,
        "APG": f"{ids.GUIDER} with type apg",
        "RecordAudio": f"LoadAudio or {ids.LOAD_AUDIO} with a recording in the input folder",
        "PreviewAny": "",
        "PreviewImage": "",
        "SaveImage": "",
        "VAEDecode": f"VAEDecodeAudio or {ids.DECODE}",
        "EmptyLatentImage": _EMPTY_LATENT,
    },
    "ComfyUI-AceStep_SFT": {
        "AceStepSFTGenerate": _TEXT_TO_MUSIC,
        "AceStepSFTTextEncode": ids.ENCODE,
        "AceStepSFTModelLoader": ids.LOADER,
        "AceStepSFTLoraLoader": f"LoraLoaderModelOnly or {ids.ADAPTER}",
        "AceStepSFTMusicAnalyzer": "",
        "AceStepSFTTurboTagAdapter": "",
        "AceStepSFTSaveAudio": ids.SAVE,
        "AceStepSFTPreviewAudio": ids.PREVIEW,
    },
    "ComfyUI-kaola-ace-step": {
        "ACE_STEP_TextToMusic": _TEXT_TO_MUSIC,
        "ACE_STEP_SimpleMode": _TEXT_TO_MUSIC,
        "ACE_STEP_Cover": f"{ids.COVER}, as in the workflow cover",
        "ACE_STEP_Repaint": f"{ids.REPAINT}, as in the workflow repaint",
        "ACE_STEP_Extract": f"{ids.TRACKS} with task extract and a base checkpoint",
        "ACE_STEP_Lego": f"{ids.TRACKS} with task lego and a base checkpoint",
        "ACE_STEP_Complete": f"{ids.TRACKS} with task complete and a base checkpoint",
    },
    "ComfyUI_RyanOnTheInside": {
        "ACEStepRepaintGuider": ids.REPAINT,
        "ACEStepExtendGuider": ids.REPAINT,
        "ACEStepHybridGuider": ids.REPAINT,
        "ACEStepAudioPostProcessor": ids.SPLICE,
        "ACEStepAnalyzeLatent": "",
        "ACEStepTimeRange": f"the regions of {ids.REPAINT}",
        "ACEStepMaskVisualizer": "",
        "ACEStep15NativeEditGuider": ids.REPAINT,
        "ACEStep15NativeCoverGuider": ids.COVER,
        "ACEStep15SemanticExtractor": ids.COVER,
        "ACEStep15NativeExtractGuider": f"{ids.TRACKS} with task extract and a base checkpoint",
        "ACEStep15NativeLegoGuider": f"{ids.TRACKS} with task lego and a base checkpoint",
        "ACEStep15TaskTextEncode": ids.ENCODE,
        "ModelSamplingACEStep": f"the shift of {ids.SCHEDULE}",
        "AudioTrim": f"the start and end of {ids.LOAD_AUDIO}",
        "PreviewAudioCompare": ids.PREVIEW,
    },
    "ComfyUI-VideoHelperSuite": {"VHS_LoadAudio": ids.LOAD_AUDIO, "VHS_LoadAudioUpload": ids.LOAD_AUDIO},
    "acestep-cpp-comfyui": {
        "AcestepCPPGenerate": _TEXT_TO_MUSIC,
        "AcestepCPPModelLoader": ids.LOADER,
        "AcestepCPPModelDownloader": "the command acestep-xl download xl-sft",
    },
    "cg-use-everywhere": {
        "Anything Everywhere": _REAL_LINKS,
        "Anything Everywhere?": _REAL_LINKS,
        "Anything Everywhere3": _REAL_LINKS,
        "Prompts Everywhere": _REAL_LINKS,
    },
}
