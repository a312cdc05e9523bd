"""The public names for picture files, in one place."""

from srcli.media.color import to_srgb as to_srgb
from srcli.media.formats import SUFFIXES as SUFFIXES
from srcli.media.formats import formats as formats
from srcli.media.formats import size_limit as size_limit
from srcli.media.formats import suffix_of as suffix_of
from srcli.media.picture import Array as Array
from srcli.media.picture import Picture as Picture
from srcli.media.picture import Quality as Quality
from srcli.media.probe import MAX_PIXELS as MAX_PIXELS
from srcli.media.probe import Probe as Probe
from srcli.media.probe import probe as probe
from srcli.media.read import read_image as read_image
from srcli.media.write import write_image as write_image
