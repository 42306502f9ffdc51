from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from gradcheck.spec._files import FileProblem, load_all, load_array, locate


def refused(folder: Path, file: str, key: str | None = None) -> str:
    with pytest.raises(FileProblem) as problem:
        load_array(str(folder / "s.yaml"), file, key)
    return str(problem.value)


def csv(folder: Path, text: str) -> np.ndarray:
    (folder / "a.csv").write_text(text)
    return load_array(str(folder / "s.yaml"), "a.csv", None)


def test_files_lie_beside_the_spec_or_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.csv", "below/a.csv"):
        (tmp_path / name).write_text("1\n")
        assert locate(str(tmp_path / "s.yaml"), name) == tmp_path / name
    assert locate(str(tmp_path / "s.yaml"), "below/../a.csv") == tmp_path / "a.csv"


def test_for_standard_input_files_lie_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("1\n")
    monkeypatch.chdir(tmp_path)
    assert locate("-", "a.csv") == tmp_path / "a.csv"


@pytest.mark.parametrize("file", ["../a.csv", "below/../../a.csv", "/etc/hostname", "link.csv", "folder/a.csv"])
def test_no_file_outside_the_folder_is_read(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "specs"
    (folder / "below").mkdir(parents=True)
    (tmp_path / "a.csv").write_text("1\n")
    (folder / "link.csv").symlink_to(tmp_path / "a.csv")
    (folder / "folder").symlink_to(tmp_path)
    assert refused(folder, file) == f"'{file}' lies outside the folder of the spec; put it beside the spec or below"


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\n")
    (tmp_path / "b.csv").symlink_to("a.csv")
    assert locate(str(tmp_path / "s.yaml"), "b.csv") == tmp_path / "a.csv"


def test_a_spec_that_is_itself_a_link_looks_beside_the_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "s.yaml").write_text("")
    (tmp_path / "s.yaml").symlink_to("elsewhere/s.yaml")
    (tmp_path / "a.csv").write_text("1\n")
    assert locate(str(tmp_path / "s.yaml"), "a.csv") == tmp_path / "a.csv"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.csv", "'none.csv' does not exist beside the spec"),
        ("below", "'below' is no file"),
        ("", "'' is no file"),
        ("loop.csv", "'loop.csv' cannot be the name of a file: "),
        ("x" * 300 + ".csv", " cannot be the name of a file: "),
    ],
)
def test_what_is_no_file(tmp_path: Path, file: str, message: str) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    assert message in refused(tmp_path, file)


def test_csv_with_and_without_names(tmp_path: Path) -> None:
    assert np.array_equal(csv(tmp_path, "a,b\n1,2\n3,4\n"), [[1, 2], [3, 4]])
    assert np.array_equal(csv(tmp_path, "1,2\n3,4"), [[1, 2], [3, 4]])


def test_csv_of_integers_and_of_real_numbers(tmp_path: Path) -> None:
    assert csv(tmp_path, "1,-2\n+3,4\n").dtype == np.int64
    assert csv(tmp_path, "1,2\n3,4.0\n").dtype == np.float64
    assert csv(tmp_path, "1,1e3\n").dtype == np.float64
    assert csv(tmp_path, f"1,{10**30}\n")[0, 1] == 1e30


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\ufeffheight,width\r\n1.5 , 2\r\n\r\n3,4\r\n".encode())
    assert np.array_equal(load_array(str(tmp_path / "s.yaml"), "a.csv", None), [[1.5, 2], [3, 4]])


def test_csv_with_a_byte_order_mark_before_its_first_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\ufeff1,2\n3,4\n".encode())
    assert np.array_equal(load_array(str(tmp_path / "s.yaml"), "a.csv", None), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,x\n", "line 2 of 'a.csv', column 2, is not a number: 'x'"),
        ("a,1\n3,4\n", "line 1 of 'a.csv', column 1, is not a number: 'a'"),
        ("1,2\n\n3\n", "line 3 of 'a.csv' has 1 cell, line 1 has 2"),
        ("1;2\n3;4\n", "line 2 of 'a.csv', column 1, is not a number: '3;4'"),
        ("1,\n", "line 1 of 'a.csv', column 2, is not a number: ''"),
        ("1_000,2\n", "line 1 of 'a.csv', column 1, is not a number: '1_000'"),
        ("", "'a.csv' holds no numbers"),
        ("a,b\n", "'a.csv' holds no numbers"),
    ],
)
def test_csv_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert refused(tmp_path, "a.csv") == message


def test_npz_of_one_array_needs_no_key(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    assert np.array_equal(load_array(str(tmp_path / "s.yaml"), "a.npz", None), np.arange(6.0).reshape(2, 3))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.array([print], dtype=object))
    assert refused(tmp_path, "a.npz") == "the array `arr_0` of 'a.npz' holds object; expected real numbers"


def test_a_header_that_claims_too_much_is_not_believed(tmp_path: Path) -> None:
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue())
    assert refused(tmp_path, "a.npz") == (
        "the array `x` of 'a.npz' has 1,000,000,000,000 entries; at most 100,000,000 are read"
    )


@pytest.mark.parametrize("content", [b"", b"not numpy at all", b"\x93NUMPY\x09\x00", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_a_damaged_array_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    assert refused(tmp_path, "a.npz").startswith("the array `x` of 'a.npz' cannot be read: ")


def test_an_archive_cut_short_is_a_sentence(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.random.default_rng(0).standard_normal(1000))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[:200] + b"\0" * 100 + whole[300:])
    assert refused(tmp_path, "a.npz").startswith("the array `x` of 'a.npz' cannot be read: ")
    (tmp_path / "a.npz").write_bytes(whole[:500])
    assert refused(tmp_path, "a.npz") == "'a.npz' cannot be read as .npz: File is not a zip file"


def test_an_archive_of_something_else_holds_no_arrays(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert refused(tmp_path, "a.npz") == "'a.npz' holds no arrays"
    assert load_all(tmp_path / "a.npz", "a.npz") == {}
