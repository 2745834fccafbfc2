"""Gaps room: an interrupt at each place of given functions where CPython lets one out that another thread has sent.
Knows dis and sys.settrace alone. Threads: the one that calls; nothing else may trace it meanwhile."""
import dis, sys

OUT = "CALL", "RESUME", "JUMP_BACKWARD"  # behind these instructions the eval loop looks whether an exception has been sent


def gaps(f):
    "(code object, offset) of each such place in `f`."
    steps = [i for i in dis.get_instructions(f) if i.opname != "CACHE"]
    return [(f.__code__, after.offset) for before,after in zip(steps, steps[1:]) if before.opname.startswith(OUT)]


def interrupted(call, gap):
    "`call()` with a KeyboardInterrupt at `gap`, if it comes there; whether it did."
    code,offset = gap

    def trace(frame, event, arg):
        if frame.f_code is not code: return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lasti == offset: raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    try:
        sys.settrace(trace)
        call()
    except KeyboardInterrupt: return True
    finally: sys.settrace(before)
    return False
