"""Shards written by Python's own tarfile are found, indexed and read; damaged ones are named, and counted."""

import errno
import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lira.data.remote import expand
from lira.data.shards import BadSample, ShardSet
from lira_runtime.errors import BadInput


def write_shard(path: Path, keys: list[str], tar_format: int = tarfile.USTAR_FORMAT) -> None:
    """A shard of samples KEY.txt and KEY.latent.npy whose contents follow from the key."""
    with tarfile.open(path, "w", format=tar_format) as archive:
        for key in keys:
            for extension, content in (("txt", key.encode()), ("latent.npy", key.encode() * 300)):
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def write_shards(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{n:03d}.tar" for n in range(count)]
    for n, path in enumerate(paths):
        write_shard(path, [f"{n}-{i}" for i in range(3)])
    return paths


@pytest.mark.parametrize("pattern", ["{000..002}.tar", "*.tar", "0{00..02}.tar"])
def test_samples_are_read_in_the_shards_order(tmp_path: Path, pattern: str) -> None:
    write_shards(tmp_path, 3)
    shards = ShardSet(f"{tmp_path}/{pattern}")
    keys = [f"{n}-{i}" for n in range(3) for i in range(3)]
    assert len(shards) == 9
    for index in (8, 0, 4, 3, 2):
        content = {"txt": keys[index].encode(), "latent.npy": keys[index].encode() * 300}
        assert shards.read(index) == content
    assert shards.name(4) == "001.tar:1-1"


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_folders_long_names_and_empty_members_are_read(tmp_path: Path, tar_format: int) -> None:
    key = "some/folder/" + "k" * 80
    write_shard(tmp_path / "a.tar", [key, "other"], tar_format)
    with tarfile.open(tmp_path / "a.tar", "a", format=tar_format) as archive:
        archive.addfile(tarfile.TarInfo("last.txt"))
    shards = ShardSet(str(tmp_path / "a.tar"))
    assert shards.read(0)["txt"] == key.encode()
    assert shards.read(2) == {"txt": b""}
    with pytest.raises(IndexError):
        shards.read(3)


def test_ranges_keep_their_zeros_and_multiply() -> None:
    assert expand("s/{08..11}.tar") == ["s/08.tar", "s/09.tar", "s/10.tar", "s/11.tar"]
    assert expand("{0..1}/{0..1}") == ["0/0", "0/1", "1/0", "1/1"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1500])


def flip_a_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1024 + 3] ^= 64  # in the name of the second member
    path.write_bytes(content)


def lose_the_end(path: Path) -> None:
    """Cut off behind a whole member, where tarfile sees nothing wrong."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content.rstrip(b"\0")) // 512 * 512 + 512])


@pytest.mark.parametrize("damage", [cut, flip_a_header, lose_the_end, Path.unlink])
def test_one_damaged_shard_of_a_hundred_is_named_and_skipped_two_are_refused(
    tmp_path: Path, damage, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_shards(tmp_path, 100)
    damage(paths[7])
    shards = ShardSet(f"{tmp_path}/{{000..099}}.tar")
    assert re.search(r"warning: shard \S+/007.tar is skipped", capsys.readouterr().err)
    assert shards.damaged == [str(paths[7])]
    assert len(shards) == 297
    assert shards.read(21)["txt"] == b"8-0"
    damage(paths[50])
    with pytest.raises(BadInput, match=r"2 of 100 shards .*007.tar.*050.tar.* cannot be used"):
        ShardSet(f"{tmp_path}/{{000..099}}.tar")


def test_no_shards_and_a_shard_that_shrinks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No shards at"):
        ShardSet(f"{tmp_path}/*.tar")
    (path,) = write_shards(tmp_path, 1)
    shards = ShardSet(str(path))
    cut(path)
    with pytest.raises(BadInput, match="shorter"):
        shards.read(2)


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_remote_shards_are_copied_to_the_cache_once(tmp_path: Path, scheme: str) -> None:
    root = f"memory://{tmp_path.name}" if scheme == "memory" else f"file://{tmp_path}"
    (tmp_path / "local").mkdir()
    for path in write_shards(tmp_path / "local", 2):
        with fsspec.open(f"{root}/far/{path.name}", "wb", auto_mkdir=True) as file:
            file.write(path.read_bytes())
    shards = ShardSet(f"{root}/far/*.tar", cache=tmp_path / "cache")
    assert [shards.read(i)["txt"] for i in range(6)] == [f"{n}-{i}".encode() for n in range(2) for i in range(3)]
    copies = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(copies) == 2
    ShardSet(f"{root}/far/{{000..001}}.tar", cache=tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == copies
    with pytest.raises(BadInput, match="cache folder"):
        ShardSet(f"{root}/far/*.tar")


def test_an_unknown_scheme_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere://"):
        ShardSet("nowhere://shards/0.tar", cache=tmp_path)


class Flaky(MemoryFileSystem):
    """A back end with exceptions of its own: `faults` are raised by the next calls that fetch, by file name."""

    protocol = "flaky"
    cachable = False
    faults: ClassVar[dict[str, list[Exception]]] = {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace("flaky://", "memory://"))

    def get_file(self, rpath: str, lpath: str, **options: object) -> None:
        if faults := self.faults.get(rpath.rpartition("/")[2]):
            raise faults.pop(0)
        super().get_file(rpath, lpath, **options)


@pytest.fixture
def flaky(tmp_path: Path) -> Iterator[str]:
    """URL of a folder of 100 remote shards."""
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    (tmp_path / "local").mkdir()
    for path in write_shards(tmp_path / "local", 100):
        Flaky().pipe_file(f"/{tmp_path.name}/{path.name}", path.read_bytes())
    yield f"flaky://{tmp_path.name}"
    Flaky.faults.clear()
    Flaky.store.clear()


class BackEndError(Exception):
    """As botocore's and aiohttp's: no OSError."""


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), TimeoutError("slow"), BackEndError("503")])
def test_a_remote_shard_is_asked_for_twice_and_then_damaged(
    flaky: str, error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Flaky.faults["040.tar"] = [error]
    assert len(ShardSet(f"{flaky}/*.tar", cache=tmp_path / "once")) == 300
    Flaky.faults["040.tar"] = [error, error]
    assert len(ShardSet(f"{flaky}/*.tar", cache=tmp_path / "twice")) == 297
    assert re.search(rf"warning: shard flaky://\S+/040.tar is skipped: .*{error.args[-1]}", capsys.readouterr().err)
    Flaky.faults["040.tar"], Flaky.faults["041.tar"] = [error, error], [error, error]
    with pytest.raises(BadInput, match="2 of 100 shards"):
        ShardSet(f"{flaky}/*.tar", cache=tmp_path / "more")


def test_a_full_disk_is_no_damaged_shard(flaky: str, tmp_path: Path) -> None:
    Flaky.faults["040.tar"] = [OSError(errno.ENOSPC, "full")]
    with pytest.raises(BadInput, match="the disk is full"):
        ShardSet(f"{flaky}/*.tar", cache=tmp_path / "cache")


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_other_content_of_the_same_size_at_the_same_url_is_fetched(tmp_path: Path, scheme: str) -> None:
    url = f"memory://{tmp_path.name}/0.tar" if scheme == "memory" else f"file://{tmp_path}/0.tar"
    for key in ("one", "two"):
        write_shard(tmp_path / "new.tar", [key])
        with fsspec.open(url, "wb") as file:
            file.write((tmp_path / "new.tar").read_bytes())
        assert ShardSet(url, cache=tmp_path / "cache").read(0)["txt"] == key.encode()


def test_a_shard_that_is_gone_after_it_was_opened_is_a_bad_sample(tmp_path: Path) -> None:
    (path,) = write_shards(tmp_path, 1)
    shards = ShardSet(str(path))
    path.unlink()
    with pytest.raises(BadSample, match="000.tar:0-2 cannot be read: .*No such file"):
        shards.read(2)
