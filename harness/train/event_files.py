"""TensorBoard's event files. This module alone imports tensorboard, which is an extra."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

VERSION = "brain.Event:2"
"""What an event file's first event says, by which TensorBoard knows it."""


class TensorBoardTracker:
    """Scalars in one event file, on the disk when `tell` returns.

    Not a SummaryWriter: that writes from a thread of its own, whose time a process's clock would charge to the method.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # TensorBoard finds it by this name.
        self._name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.0"

    def tell(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """An event at this iteration and this moment; OSError where it cannot be written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        now = time.time()
        with (self._folder / self._name).open("ab") as file:
            writer = RecordWriter(file)
            if file.tell() == 0:
                writer.write(Event(wall_time=now, file_version=VERSION).SerializeToString())
            writer.write(Event(wall_time=now, step=iteration, summary=Summary(value=values)).SerializeToString())
