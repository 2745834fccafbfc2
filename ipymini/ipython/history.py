"""History room: the inputs of all shells, in IPython's database, through one connection, and the text that cells print.

Owns that connection, the lock that its users take, and when inputs reach the disk. A subshell has a session of its own there, and no connection, so that none is closed before
the kernel ends. SQLite's errors do not leave this room: IPython takes every one of them for a corrupt file, moves that away and begins another one.
Must not know: requests; of shells what IPython's HistoryManager asks of one.
Threads: any; what waits is written on the history lane.
Spec: messaging, "History"; IPython's documentation, "history"."""

import contextlib, inspect, logging, os, sqlite3
from _thread import RLock
from collections import deque
from threading import Lock
from time import sleep

from IPython.core import history

from ..interrupts.protect import PENDING, raise_pending
from ..process.threads import Lane
from ..wire.messages import paired

log = logging.getLogger("ipymini.ipython.history")
DELAY = 1.0  # seconds after which inputs reach the database, many at a time: a commit a cell costs a third of a trivial cell's time
LAST = 1000  # milliseconds that the last writing waits for another process
STREAMS = dict(stdout="out_stream", stderr="err_stream")  # what IPython's history calls them
KEPT = 1 << 17      # characters of a cell's text that are kept ...
KEPT_ALL = 4 << 20  # ... and of all cells together
PIECE = 600         # characters for which the memory of a piece counts, however short its text is


class Unavailable(OSError):
    "The history database cannot be used just now, and why: it is locked, the disk is full, the kernel has ended, ..."


def storable(value):
    "What a cell has put into the history, as SQLite can hold it: a value that it refuses would take all inputs down that are written together with it."
    if isinstance(value, int) and abs(value) < 1 << 63: return value
    return paired(str(value))


class HistoryManager(history.HistoryManager):
    "The history of the main shell, and the connection of all; of another shell with that as `main`."

    def __init__(self, shell, main=None, **kw):
        self.main = main or self
        if main is None: self._begin()
        super(history.HistoryManager, self).__init__(shell=shell, **kw)  # IPython's own starts a thread with a connection of its own, which a fork ends for good
        self.db_input_cache_lock,self.db_output_cache_lock,self.using_thread,self.unsaved = Lock(), Lock(), False, []
        try: self.new_session()
        except Unavailable as e: log.warning("no history session yet: %s", e)
        self.main.shells.add(self)
        self.save_soon()  # starts its thread, which could become a greenlet, or nothing, once the user's code runs

    def _begin(self):
        self._lock,self.shells,self.lane,self.saving,self.pid = (RLock(),), set(), Lane("history", self._save), False, os.getpid()
        if hasattr(os, "register_at_fork"):  # nobody else is inside SQLite then, whose own locks the child could never take again; all in C, so that nothing can be left half done
            os.register_at_fork(before=self.lock.acquire, after_in_parent=self.lock.release, after_in_child=self.lock.release)

    @property
    def lock(self): return self._lock[0]  # in a tuple, where eventlet does not find it: it puts locks in their place that two threads cannot share

    def init_db(self):
        "Connect, once in a process; in memory if the file cannot be used. Only one that is corrupt is IPython's to move away."
        if self.main is not self: self.hist_file,self.db = self.main.hist_file, self.main.db
        else:
            try: inspect.unwrap(history.HistoryAccessor.init_db)(self)
            except sqlite3.OperationalError as e:
                log.warning("history database %s cannot be used: %s; this session's history stays in memory", self.hist_file, e)
                self.hist_file = ":memory:"
                super().init_db()
            except sqlite3.DatabaseError: super().init_db()

    @contextlib.contextmanager
    def alone(self):
        "Inside, nobody else uses the connection; Unavailable if it cannot be used."
        if os.getpid() != self.main.pid: raise Unavailable("a forked child has no history database")
        try:
            with self.main.lock: yield
        except sqlite3.Error as e: raise Unavailable(str(e)) from e

    # --- reading

    def _run_sql(self, *args, **kw):
        self.save()
        with self.alone(): return list(super()._run_sql(*args, **kw))

    def get_session_info(self, session=0):
        session += self.session_number if session <= 0 else 0
        with self.alone(): return self.db.execute("SELECT * FROM sessions WHERE session == ?", (session,)).fetchone()

    # --- writing

    def store_inputs(self, *args, **kw):
        "As IPython's, whole: an interrupt waits until it is done."
        super().store_inputs(*args, **kw)
        if PENDING: raise_pending()

    def new_session(self, conn=None):
        with self.alone(): super().new_session(conn)

    def end_session(self):
        try:
            with self.alone(): super().end_session()
        except Unavailable as e: log.warning("the end of the history session was not written: %s", e)

    def writeout_cache(self, conn=None):
        "Write what waits; it goes on waiting if that cannot be done now."
        try:
            with self.alone():
                if self.main in self.main.shells: super().writeout_cache(self.db)  # else it is closed, and all was written before
        except Unavailable as e:
            log.warning("inputs were not written to the history yet: %s", e)
            with self.db_input_cache_lock: self.db_input_cache[:0] = self.unsaved
        self.unsaved = []

    def _writeout_input_cache(self, conn):
        if not self.db_input_cache: return
        if not self.session_number: self.new_session(conn)
        self.unsaved = list(self.db_input_cache)
        self.db_input_cache[:] = [tuple(map(storable, entry)) for entry in self.unsaved]
        super()._writeout_input_cache(conn)
        self.unsaved = []

    def _writeout_output_cache(self, conn):
        self.db_output_cache[:] = [tuple(map(storable, entry)) for entry in self.db_output_cache]
        super()._writeout_output_cache(conn)

    def save_soon(self):
        "Let the inputs of all shells reach the database in DELAY seconds."
        main = self.main
        if main.saving: return
        main.saving = True
        try: main.lane.put(None)
        except Exception:  # no thread can be started; the next cell tries again
            log.warning("the history is not being written", exc_info=True)
            main.saving = False

    def _save(self, _):
        sleep(DELAY)
        self.saving = False
        try: self.save()
        except Exception: log.exception("the history was not written")

    def save(self):
        "Write the inputs of all shells now."
        for h in list(self.main.shells): h.writeout_cache()

    def stop(self):
        "Write the inputs of all shells for the last time, as the kernel ends."
        with contextlib.suppress(Unavailable), self.alone(): self.db.execute(f"PRAGMA busy_timeout = {LAST}")
        self.save()

    def close(self):
        "A subshell's ends, what it has is written; IPython closes main's with the process."
        self.writeout_cache()
        self.main.shells.discard(self)
        if self.main is not self: return
        with self.lock: super().close()


class SubshellHistory(HistoryManager):
    "The history of a subshell: a session of its own; `In` and `_i` are the parent's."

    def store_inputs(self, line_num, source, source_raw=None):
        with self.lock_out_names(): super().store_inputs(line_num, source, source_raw)

    @contextlib.contextmanager
    def lock_out_names(self):
        shell = self.shell
        shell.is_storing = True
        try: yield
        finally: shell.is_storing = False


class KeptText:
    """Keeps what the cells of a session print for %notebook to export, each text before the cell's values: KEPT characters of one cell, of
    all together the last KEPT_ALL. On io but for `of`."""

    def __init__(self, history): self.history,self.size,self.cells = history, 0, deque()

    def of(self, number):
        "What is to be called with (stream name, text) that the cell `number` prints. It never raises: io hands on the text of all."
        cell = KeptCell(number)
        return lambda name, text: self._keep_safely(cell, name, text)

    def _keep_safely(self, cell, name, text):
        if cell.room <= 0: return
        try: self._keep(cell, STREAMS[name], text[:cell.room])
        except Exception: log.warning("text was not kept for %%notebook", exc_info=True)  # the lists are open to anybody

    def _keep(self, cell, kind, text):
        if cell.room == KEPT:
            if not self.history.outputs: self._forget()
            self.cells.append(cell)
        goes_on = cell.streams and cell.streams[-1].output_type == kind
        size = len(text) + (0 if goes_on else PIECE)
        cell.room -= size
        self.size += size
        if goes_on: cell.streams[-1].bundle["stream"].append(text)
        else:
            cell.streams.append(history.HistoryOutput(output_type=kind, bundle=dict(stream=[text])))
            self.history.outputs[cell.number].insert(len(cell.streams) - 1, cell.streams[-1])
        while self.size > KEPT_ALL and self.cells[0] is not cell: self._drop(self.cells.popleft())

    def _forget(self):
        "What there was has been cleared, by %reset for one."
        self.cells.clear()
        self.size = 0

    def _drop(self, cell):
        "Forget the text of the oldest cell; its values stay."
        self.size -= KEPT - cell.room
        cell.room = 0
        outputs,streams = self.history.outputs, {id(s) for s in cell.streams}
        left = [o for o in outputs.get(cell.number, ()) if id(o) not in streams]
        if left: outputs[cell.number] = left
        else: outputs.pop(cell.number, None)


class KeptCell:
    "The text of one cell: its `number`, the characters for which there is `room`, and its pieces (HistoryOutput), one a change of stream."
    def __init__(self, number): self.number,self.room,self.streams = number, KEPT, []
