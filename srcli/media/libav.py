"""PyAV with FFmpeg kept quiet by FFmpeg itself.

PyAV's own log callback takes Python's lock, also in the codecs' threads: a codec that is freed by a thread which holds that
lock waits for its threads, and they for the lock, for ever (seen with PyAV 18 and h264).
"""

import av
import av.logging

__all__ = ["av"]

_QUIET = -8  # AV_LOG_QUIET

av.logging.set_libav_level(_QUIET)
av.logging.restore_default_callback()
