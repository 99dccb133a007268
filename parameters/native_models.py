"""The inputs of ComfyUI's own nodes for models, prompts and sampling. See native.py."""

from __future__ import annotations

from .native_kinds import FILES, Input, choice, real, seed, text, whole

TEXT_ENCODE = "TextEncodeAceStepAudio1.5"
SAMPLERS = (
    "euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 exp_heun_2_x0 exp_heun_2_x0_sde dpm_2 "
    "dpm_2_ancestral lms dpm_fast dpm_adaptive dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu "
    "dpmpp_2m dpmpp_2m_cfg_pp dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde "
    "dpmpp_3m_sde_gpu ddpm lcm ipndm ipndm_v deis res_multistep res_multistep_cfg_pp res_multistep_ancestral "
    "res_multistep_ancestral_cfg_pp gradient_estimation gradient_estimation_cfg_pp er_sde seeds_2 seeds_3 sa_solver "
    "sa_solver_pece ddim uni_pc uni_pc_bh2"
).split()
SCHEDULERS = "simple sgm_uniform karras exponential ddim_uniform beta normal linear_quadratic kl_optimal".split()
LANGUAGES = (
    "ar az bg bn ca cs da de el en es fa fi fr he hi hr ht hu id is it ja ko la lt ms ne nl no pa pl pt ro ru sa sk sr "
    "sv sw ta te th tl tr uk ur vi yue zh unknown"
).split()
ROOTS = "C C# Db D D# Eb E F F# Gb G G# Ab A A# Bb B".split()
KEYS = [f"{root} {mode}" for mode in ("major", "minor") for root in ROOTS]
CLIP_TYPES = (
    "stable_diffusion stable_cascade sd3 stable_audio mochi ltxv pixart cosmos lumina2 wan hidream chroma ace omnigen2 "
    "qwen_image hunyuan_image flux2 ovis longcat_image cogvideox"
).split()
DUAL_CLIP_TYPES = (
    "sdxl sd3 flux hunyuan_video hidream hunyuan_image hunyuan_video_15 kandinsky5 kandinsky5_image ltxv newbie ace"
).split()

_MODEL: Input = ("MODEL", {})
_CLIP: Input = ("CLIP", {})
_CONDITIONING: Input = ("CONDITIONING", {})
_LATENT: Input = ("LATENT", {})
_DEVICE = choice("default", "cpu")
_CFG = real(8.0, 0.0, 100.0, 0.1)
_STEPS = whole(20, 1, 10000)
_DENOISE = real(1.0, 0.0, 1.0, 0.01)
_STRENGTH = real(1.0, -100.0, 100.0, 0.01)
_SAMPLER, _SCHEDULER = choice(*SAMPLERS), choice(*SCHEDULERS)
_PROMPTS = {"positive": _CONDITIONING, "negative": _CONDITIONING}
_BOOLEAN: Input = ("BOOLEAN", {"default": True})

# Inputs that a graph may leave out, by class.
OPTIONAL: dict[str, tuple[str, ...]] = {
    "CLIPLoader": ("device",),
    "DualCLIPLoader": ("device",),
    "ReferenceTimbreAudio": ("latent",),
}

MODEL_INPUTS: dict[str, dict[str, Input]] = {
    "UNETLoader": {
        "unet_name": FILES,
        "weight_dtype": choice("default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"),
    },
    "CLIPLoader": {"clip_name": FILES, "type": choice(*CLIP_TYPES), "device": _DEVICE},
    "DualCLIPLoader": {
        "clip_name1": FILES,
        "clip_name2": FILES,
        "type": choice(*DUAL_CLIP_TYPES),
        "device": _DEVICE,
    },
    "VAELoader": {"vae_name": FILES},
    "CheckpointLoaderSimple": {"ckpt_name": FILES},
    "LoraLoader": {
        "model": _MODEL,
        "clip": _CLIP,
        "lora_name": FILES,
        "strength_model": _STRENGTH,
        "strength_clip": _STRENGTH,
    },
    "LoraLoaderModelOnly": {"model": _MODEL, "lora_name": FILES, "strength_model": _STRENGTH},
    "ModelSamplingAuraFlow": {"model": _MODEL, "shift": real(1.73, 0.0, 100.0, 0.01)},
    TEXT_ENCODE: {
        "clip": _CLIP,
        "tags": text(multiline=True, dynamic=True),
        "lyrics": text(multiline=True, dynamic=True),
        "seed": seed(),
        "bpm": whole(120, 10, 300),
        "duration": real(120.0, 0.0, 2000.0, 0.1),
        "timesignature": choice("2", "3", "4", "6"),
        "language": choice(*LANGUAGES, default="en"),
        "keyscale": choice(*KEYS),
        "generate_audio_codes": _BOOLEAN,
        "cfg_scale": real(2.0, 0.0, 100.0, 0.1),
        "temperature": real(0.85, 0.0, 2.0, 0.01),
        "top_p": real(0.9, 0.0, 2000.0, 0.01),
        "top_k": whole(0, 0, 100),
        "min_p": real(0.0, 0.0, 1.0, 0.001),
    },
    "ConditioningZeroOut": {"conditioning": _CONDITIONING},
    "ReferenceTimbreAudio": {"conditioning": _CONDITIONING, "latent": _LATENT},
    "KSampler": {
        "model": _MODEL,
        "seed": seed(),
        "steps": _STEPS,
        "cfg": _CFG,
        "sampler_name": _SAMPLER,
        "scheduler": _SCHEDULER,
        **_PROMPTS,
        "latent_image": _LATENT,
        "denoise": _DENOISE,
    },
    "KSamplerAdvanced": {
        "model": _MODEL,
        "add_noise": choice("enable", "disable"),
        "noise_seed": seed(),
        "steps": _STEPS,
        "cfg": _CFG,
        "sampler_name": _SAMPLER,
        "scheduler": _SCHEDULER,
        **_PROMPTS,
        "latent_image": _LATENT,
        "start_at_step": whole(0, 0, 10000),
        "end_at_step": whole(10000, 0, 10000),
        "return_with_leftover_noise": choice("disable", "enable"),
    },
    "SamplerCustom": {
        "model": _MODEL,
        "add_noise": _BOOLEAN,
        "noise_seed": seed(),
        "cfg": _CFG,
        **_PROMPTS,
        "sampler": ("SAMPLER", {}),
        "sigmas": ("SIGMAS", {}),
        "latent_image": _LATENT,
    },
    "SamplerCustomAdvanced": {
        "noise": ("NOISE", {}),
        "guider": ("GUIDER", {}),
        "sampler": ("SAMPLER", {}),
        "sigmas": ("SIGMAS", {}),
        "latent_image": _LATENT,
    },
    "BetaSamplingScheduler": {
        "model": _MODEL,
        "steps": _STEPS,
        "alpha": real(0.6, 0.0, 50.0, 0.01),
        "beta": real(0.6, 0.0, 50.0, 0.01),
    },
    "SDTurboScheduler": {"model": _MODEL, "steps": whole(1, 1, 10), "denoise": _DENOISE},
    "SamplingPercentToSigma": {
        "model": _MODEL,
        "sampling_percent": real(0.0, 0.0, 1.0, 0.0001),
        "return_actual_sigma": ("BOOLEAN", {"default": False}),
    },
    "SamplerSASolver": {
        "model": _MODEL,
        "eta": real(1.0, 0.0, 10.0, 0.01),
        "sde_start_percent": real(0.2, 0.0, 1.0, 0.001),
        "sde_end_percent": real(0.8, 0.0, 1.0, 0.001),
        "s_noise": real(1.0, 0.0, 100.0, 0.01),
        "predictor_order": whole(3, 1, 6),
        "corrector_order": whole(4, 0, 6),
        "use_pece": ("BOOLEAN", {}),
        "simple_order_2": ("BOOLEAN", {}),
    },
    "BasicScheduler": {"model": _MODEL, "scheduler": _SCHEDULER, "steps": _STEPS, "denoise": _DENOISE},
    "CFGGuider": {"model": _MODEL, **_PROMPTS, "cfg": _CFG},
    "BasicGuider": {"model": _MODEL, "conditioning": _CONDITIONING},
}
