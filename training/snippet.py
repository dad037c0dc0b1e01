"""The lines of Python that predict with a model, for its card."""

import json
from pathlib import Path

INPUTS = {  # by model: what makes of samples what it reads, and the modules of curation and of training that takes
    "lite_cnn": ('lite_cnn.inputs(samples, lengths, mel.Params(**built["mel"]), rate_hz=data.rate_hz)', "", ", mel"),
    "svm": (
        'svm.inputs(samples, lengths, descriptors.Params(**built["features"]), rate_hz=data.rate_hz)',
        "descriptors, ",
        "",
    ),
    "wav2vec2": ("wav2vec2.inputs(samples, lengths)", "", ""),
}
PREDICT = """\
import json
from pathlib import Path

import torch

from curation import {curation}params
from training import augment, clips, {kind}{more}

folder = Path({folder})
built = json.loads((folder / "model.json").read_text())
data = params.Data(classes=built["classes"], clip_s=built["clip_s"], rate_hz=built["rate_hz"])
samples, lengths = clips.read(Path({audio}), [{clip_id}], data)  # names of clips
x, lengths = {inputs}
model = {kind}.load(folder, {turn})
with torch.inference_mode():
    probabilities = model(augment.repeat(x.float(), lengths, x.shape[-1])).softmax(dim=1)
print(dict(zip(data.classes, probabilities[0].tolist())))
"""


def snippet(kind: str, turn: str, clip_id: str, *, folder: Path, audio: Path) -> str:
    """Return Python that prints the probabilities of a clip by the weights of round `turn`; empty: no such model.

    Args:
        kind: the model, as its model.json names it.
        turn: name of the round.
        clip_id: a clip.
        folder: where the weights are.
        audio: where the clips are.
    """
    if kind not in INPUTS:
        return ""
    inputs, curation, more = INPUTS[kind]
    texts = {"folder": str(folder), "audio": str(audio), "clip_id": clip_id, "turn": turn}
    quoted = {key: json.dumps(text) for key, text in texts.items()}
    return PREDICT.format(kind=kind, inputs=inputs, curation=curation, more=more, **quoted)
