"""Which frozen network, and where are its seams?"""

from robustpeft.backbones.classifier import Attachment, ImageClassifier, wrap
from robustpeft.backbones.load import BACKBONES, Backbone, load_backbone
from robustpeft.backbones.normalize import Normalize
from robustpeft.backbones.onnx_network import OnnxNetwork
from robustpeft.backbones.seams import FAMILIES, SEAM_MAPS, Family, find_seams

__all__ = [
    "BACKBONES",
    "FAMILIES",
    "SEAM_MAPS",
    "Attachment",
    "Backbone",
    "Family",
    "ImageClassifier",
    "Normalize",
    "OnnxNetwork",
    "find_seams",
    "load_backbone",
    "wrap",
]
