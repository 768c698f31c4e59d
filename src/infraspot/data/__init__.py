"""Reading and writing infrared frames, masks, points, boxes and whole data sets."""

from infraspot.data.clicks import centroid_points, coarse_points
from infraspot.data.finding import FrameFile, find_frames
from infraspot.data.images import Frame, picture_frame, read_frames, read_image, read_mask, stray_mask_values
from infraspot.data.layouts import LAYOUTS
from infraspot.data.listing import list_images, natural_key
from infraspot.data.points import read_points, write_points
from infraspot.data.raster import MAX_PAGES, MAX_PIXELS
from infraspot.data.reader import Reader, open_dataset
from infraspot.data.reading import Reading, parse_raw
from infraspot.data.recordings import FrameKey, frame_keys, numbered, open_frames
from infraspot.data.store import write_dataset, write_sample
from infraspot.data.writing import write_grey, write_mask

__all__ = [
    "LAYOUTS",
    "MAX_PAGES",
    "MAX_PIXELS",
    "Frame",
    "FrameFile",
    "FrameKey",
    "Reader",
    "Reading",
    "centroid_points",
    "coarse_points",
    "find_frames",
    "frame_keys",
    "list_images",
    "natural_key",
    "numbered",
    "open_dataset",
    "open_frames",
    "parse_raw",
    "picture_frame",
    "read_frames",
    "read_image",
    "read_mask",
    "read_points",
    "stray_mask_values",
    "write_dataset",
    "write_grey",
    "write_mask",
    "write_points",
    "write_sample",
]
