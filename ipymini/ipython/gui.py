"""GUI room: windows of GUI toolkits live while their thread computes nothing: between cells, and while a cell awaits.

Owns which toolkits there are, and how each is given its turn on an asyncio loop.
Must not know: requests, shells, whose loop it is.
Threads: the one that runs the loop.
Spec: IPython's documentation, %gui."""

import asyncio, contextvars

TURN = 0.02  # seconds between two turns


def tk():
    import tkinter
    root = tkinter.Tk()
    root.withdraw()
    return root.update  # serves all of the thread's windows, not this one alone


def qt():
    from IPython.external.qt_for_kernel import QtCore, QtGui
    app = QtCore.QCoreApplication.instance() or QtGui.QApplication([""])
    app.setQuitOnLastWindowClosed(False)
    return app.processEvents


TOOLKITS = dict(tk=tk, qt=qt, qt5=qt, qt6=qt)
IN_PAGE = None, "inline", "nbagg", "webagg", "notebook", "ipympl", "widget", "asyncio"  # these need no turns


class Turns:
    "Gives the toolkit `gui` its turns on the asyncio loop of this thread, until `end`. NotImplementedError, ImportError, or the toolkit's own error if there is no such."

    def __init__(self, gui):
        if gui not in TOOLKITS: raise NotImplementedError(f"no event loop for {gui!r}, only for {', '.join(TOOLKITS)}; plots in the page: %matplotlib inline")
        self.turn,self.loop = TOOLKITS[gui](), asyncio.get_event_loop()
        self._soon()

    def _soon(self): self.handle = self.loop.call_later(TURN, self._take, context=contextvars.Context())  # what callbacks print is the latest cell's

    def _take(self):
        self.turn()  # the loop's handler shows what it raises; that was the last turn then
        self._soon()

    def end(self): self.handle.cancel()
