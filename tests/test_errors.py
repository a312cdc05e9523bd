import pytest
import torch

from srcli.errors import counted, first_line, last_line, out_of_memory, quoted


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_running_out_of_memory_is_known_by_its_words(error, expected):
    assert out_of_memory(error) is expected


def test_what_is_counted_takes_its_s():
    assert [counted(n, "frame") for n in (0, 1, 1200)] == ["0 frames", "1 frame", "1,200 frames"]


def test_a_library_is_quoted_by_one_line_also_where_it_is_mute():
    assert (first_line(RuntimeError()), last_line(KeyError()), quoted(OSError())) == ("RuntimeError", "KeyError", "")
    error = RuntimeError("\n  Errors in loading:\n\tsize mismatch for a\n")
    assert (first_line(error), last_line(error), quoted(error)) == (
        "Errors in loading:",
        "size mismatch for a",
        " (Errors in loading:)",
    )
    assert len(first_line(ValueError("x" * 999))) == 200
