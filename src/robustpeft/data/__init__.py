"""Where do images come from, and which split is this?"""

from robustpeft.data.augment import Augment
from robustpeft.data.cropping import cropped
from robustpeft.data.digits import Digits
from robustpeft.data.duplicates import Duplicate, find_duplicates
from robustpeft.data.folder import Folder
from robustpeft.data.hugging_face import HuggingFace
from robustpeft.data.image_data import DataSource, ImageData
from robustpeft.data.loading import DATASETS, DataSpec, as_source, load_data
from robustpeft.data.parquet import Parquet
from robustpeft.data.reading import Broken
from robustpeft.data.split import Batch, Split
from robustpeft.data.tensors import Tensors
from robustpeft.data.torchvision import Torchvision
from robustpeft.data.transform import image_transform
from robustpeft.data.unlabelled import UnlabelledImages, load_images
from robustpeft.data.vtab import VTAB_TASKS, Vtab

__all__ = [
    "DATASETS",
    "Augment",
    "Batch",
    "Broken",
    "DataSource",
    "DataSpec",
    "Digits",
    "Duplicate",
    "Folder",
    "HuggingFace",
    "ImageData",
    "Parquet",
    "Split",
    "Tensors",
    "Torchvision",
    "UnlabelledImages",
    "VTAB_TASKS",
    "Vtab",
    "as_source",
    "cropped",
    "find_duplicates",
    "image_transform",
    "load_data",
    "load_images",
]
