"""The ResUNet++ authors' augmentation of Kvasir-SEG, which their ResUNet shares."""

from __future__ import annotations

from torchvision import tv_tensors
from torchvision.transforms import v2


def polyp_augmentation(size: int) -> v2.Transform:
    """One of the authors' changes, drawn anew for each sample of each epoch.

    They wrote thirty copies of each training image to disk instead: crops of 300 px, flips, rotations by up to 90
        degrees, a square of 256 px cut out, brightness and grey, all then resized to 256 px and saved as JPEG, the
        masks too. Here crops and squares are shares of the resized image's area (a quarter to all of it; a ninth to a
        quarter), and nothing is saved.

    Args:
        size: side of the image, in pixels.
    """
    cut = v2.RandomErasing(1.0, scale=(0.11, 0.25), ratio=(1.0, 1.0))
    return v2.RandomChoice(
        [
            v2.Identity(),
            v2.RandomResizedCrop(size, scale=(0.25, 1.0), ratio=(1.0, 1.0)),
            v2.RandomHorizontalFlip(1.0),
            v2.RandomVerticalFlip(1.0),
            v2.RandomRotation((0, 90), interpolation=v2.InterpolationMode.BILINEAR),
            v2.Lambda(cut, tv_tensors.Image),
            v2.ColorJitter(brightness=0.5),
            v2.RandomGrayscale(1.0),
        ]
    )
