"""Archives that nobody should make: refused in one line before a byte of them is written anywhere."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.contracts import UserError
from bench.runtime import archives
from bench.runtime.archives import opened
from tests.bench.datasets.archives import member, tarred, zipped

GOOD = {"images/1.jpg": b"abc" * 100, "masks/1.png": b"xyz" * 100}

Make = Callable[[Path], Path]


def refusal(path: Path) -> str:
    """Why an archive is not read; reading all of its members must fail at the latest."""
    with pytest.raises(UserError) as caught, opened(path) as archive:
        for one in archive.members:
            for _ in archive.chunks(one):
                pass
    assert caught.value.where == str(path) and "\n" not in str(caught.value) and str(caught.value).isprintable()
    return caught.value.what


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_the_good_one_is_read(suffix: str, tmp_path: Path) -> None:
    path = (zipped if suffix == "zip" else tarred)(tmp_path / f"a.{suffix}", GOOD | {"./b/./c.txt": b""})
    with opened(path) as archive:
        read = {str(one.name): b"".join(archive.chunks(one)) for one in archive.members}
    assert read == GOOD | {"b/c.txt": b""}


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../out.jpg", "leads out"),
        ("images/../../out.jpg", "leads out"),
        ("/etc/out.jpg", "leads out"),
        ("C:/out.jpg", "leads out"),
        ("C:out.jpg", "leads out"),
        ("images\\..\\..\\out.jpg", "backslash"),
        ("images/a\nbench: error.jpg", "control character"),
        ("images/\x1b[31m.jpg", "control character"),
        ("images/\u202egpj.exe", "control character"),
        ("x" * 252 + ".jpg", "longer than 255 bytes"),
        ("é" * 126 + ".jpg", "longer than 255 bytes"),
    ],
)
def test_names(pack: Callable[..., Path], name: str, reason: str, tmp_path: Path) -> None:
    suffix = "zip" if pack is zipped else "tar.gz"
    assert reason in refusal(pack(tmp_path / f"a.{suffix}", GOOD | {name: b"x"}))


def test_a_name_that_goes_on_behind_a_nul(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", GOOD | {"images/2.jpg#.exe": b"x"})
    path.write_bytes(path.read_bytes().replace(b"#.exe", b"\0.exe"))
    assert "control character" in refusal(path)


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("twin", ["IMAGES/1.JPG", "images/./1.jpg", "images//1.jpg"])
def test_two_names_that_are_one_file(pack: Callable[..., Path], twin: str, tmp_path: Path) -> None:
    assert "two members of one name" in refusal(pack(tmp_path / "a.tar", GOOD | {twin: b"x"}))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE],
)
@pytest.mark.parametrize("target", ["images/1.jpg", "/etc/passwd"])
def test_tar_members_that_are_no_files(kind: bytes, target: str, tmp_path: Path) -> None:
    assert "a link, a device" in refusal(tarred(tmp_path / "a.tar", GOOD, member("images/2.jpg", kind, target)))


@pytest.mark.parametrize("kind", [0o120000, 0o010000, 0o020000, 0o060000, 0o140000])
def test_zip_members_that_are_no_files(kind: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    odd = zipfile.ZipInfo("images/2.jpg")
    odd.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images/1.jpg", b"x")
        archive.writestr(odd, "/etc/passwd")
    assert "a link, a device" in refusal(path)


def directory(path: Path) -> int:
    """Where the zip's list of its members begins."""
    return path.read_bytes().rindex(b"PK\x01\x02", 0, path.read_bytes().index(b"PK\x01\x02") + 4)


def patched(path: Path, offset: int, form: str, value: int) -> Path:
    """With a field of the first member's entry in the list changed."""
    data, place = bytearray(path.read_bytes()), directory(path)
    struct.pack_into(form, data, place + offset, value)
    path.write_bytes(data)
    return path


FLAGS, METHOD, PACKED, SIZE, OFFSET = (8, "<H"), (10, "<H"), (20, "<I"), (24, "<I"), (42, "<I")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (FLAGS, 1, "encrypted"),
        (METHOD, 97, "packed by method 97"),
        (SIZE, 299, "unreadable archive"),
        (SIZE, 301, "has not the 301 bytes it announces"),
        (SIZE, 0, "unreadable archive"),
        (PACKED, 3, "unreadable archive"),
        (PACKED, 2**31, "unreadable archive"),
        (OFFSET, 7, "unreadable archive"),
    ],
)
def test_headers_that_lie(field: tuple[int, str], value: int, reason: str, tmp_path: Path) -> None:
    assert reason in refusal(
        patched(zipped(tmp_path / "a.zip", {"a.bin": bytes(range(250)) + b"!" * 50}), *field, value)
    )


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.bin": b"a" * 300, "b.bin": b"b" * 300})
    data = path.read_bytes()
    second = data.rindex(b"PK\x01\x02")
    first = data.index(b"PK\x01\x02")
    # The second entry is the first one under another name, which its header has, too: a bomb repeats this.
    entry = data[first:second].replace(b"a.bin", b"b.bin")
    path.write_bytes(data[:second] + entry + data[second + len(entry) :])
    assert "overlap" in refusal(path)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_bombs(suffix: str, tmp_path: Path) -> None:
    zeros = bytes(archives.SMALL + 2**20)
    path = (zipped if suffix == "zip" else tarred)(tmp_path / f"a.{suffix}", {"images/1.jpg": zeros})
    assert path.stat().st_size < 2**17 and "unpack to more than 100 times as many" in refusal(path)


def test_a_bomb_in_a_header_or_behind_the_end(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a.tar.gz", GOOD, member("x" * (archives.SMALL + 2**20), tarfile.DIRTYPE))
    assert "header of the tar that is too long" in refusal(path)
    path = tmp_path / "b.tar.gz"
    inner = tarred(tmp_path / "b.tar", GOOD).read_bytes()

    path.write_bytes(gzip.compress(inner + bytes(archives.SMALL + 2**20)))
    assert "times as many" in refusal(path)


def test_limits_of_number_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"{number}.txt": b"0123456789" for number in range(9)}
    paths = [zipped(tmp_path / "a.zip", many), tarred(tmp_path / "a.tar.xz", many)]
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MOST_MEMBERS", 8)
        assert {refusal(path) for path in paths} == {"more than 8 members"}
    monkeypatch.setattr(archives, "MOST_BYTES", 89)
    assert {refusal(path) for path in paths} == {"more than 0 GiB when unpacked"}


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_cut_off_anywhere(suffix: str, tmp_path: Path) -> None:
    path = (zipped if suffix == "zip" else tarred)(tmp_path / f"a.{suffix}", GOOD)
    whole = path.read_bytes()
    # The last bytes of a tar are padding.
    cuts = range(len(whole) // 40 * 38 if suffix != "tar" else 4 * 512, 512 if suffix == "tar" else 10, -97)
    for cut in cuts:
        path.write_bytes(whole[:cut])
        assert refusal(path)


def test_a_damaged_byte(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a.tar", GOOD)
    data = bytearray(path.read_bytes())
    data[1024 + 10] ^= 1  # in the second header's name: tarfile by itself would end there without a word
    path.write_bytes(data)
    assert "no end" in refusal(path)
    for pack, suffix in ((zipped, "zip"), (tarred, "tar.gz"), (tarred, "tar.bz2"), (tarred, "tar.xz")):
        path = pack(tmp_path / f"b.{suffix}", GOOD)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x55
        path.write_bytes(data)
        assert refusal(path)


def test_an_archive_in_an_archive_stays_packed(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", GOOD).read_bytes()
    with opened(zipped(tmp_path / "a.zip", {"inner.zip": inner})) as archive:
        (only,) = archive.members
        assert str(only.name) == "inner.zip" and b"".join(archive.chunks(only)) == inner


def test_a_tar_of_old_form(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("images/" + "n" * 150 + ".jpg")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    (tmp_path / "a.tar").write_bytes(stream.getvalue())
    with opened(tmp_path / "a.tar") as read:
        assert [b"".join(read.chunks(one)) for one in read.members] == [b"abc"]
