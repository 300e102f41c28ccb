# SPDX-License-Identifier: MIT
"""The process that plays what launch() was given. A program of its own. It uses GStreamer
by its C functions, so that nobody needs gi, and nothing of the package. Until the pipeline
plays it imports only what is there at once: json and signal take 20 ms.

stdin    the length of what follows, 8 bytes of little endian, and one value of marshal,
         play() says what it holds; not in the arguments, which everybody on the machine
         may read. Anything after that, as its end, is the order to stop.
stdout   a line for each message, ascii() of (kind, sentence, details): kind is "progress",
         "warning", "error" or, at the very end, "end", details what else GStreamer says

It ends with the pipeline, with that order, and with the process that started it.
"""
import ctypes
import marshal
import os
import select
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p

STOP_SECONDS = 3  # that an element may take to stop before the process ends without it
PAUSED, PLAYING, NULL = 3, 4, 1
FAILURE, NO_PREROLL = 0, 3
EOS, ERROR, WARNING, CLOCK_LOST, LATENCY, PROGRESS = (1 << bit for bit in (0, 1, 2, 10, 19,
                                                                            25))
STRING = 16 << 2  # G_TYPE_STRING


class Failure(Exception):
    """Why it does not play: (sentence, details)."""


class Error(ctypes.Structure):
    _fields_ = [("domain", ctypes.c_uint32), ("code", c_int), ("message", c_char_p)]


class Message(ctypes.Structure):
    """GstMessage as far as its type: what is public of it."""

    _fields_ = [("gtype", c_size_t), ("counts", c_int * 2), ("flags", c_uint),
                ("functions", c_void_p * 3), ("priv_uint", c_uint),
                ("priv_pointer", c_void_p), ("kind", c_uint)]


class PollFD(ctypes.Structure):
    _fields_ = [("fd", c_int), ("events", ctypes.c_ushort), ("revents", ctypes.c_ushort)]


class Value(ctypes.Structure):
    _fields_ = [("gtype", c_size_t), ("data", c_uint64 * 2)]


class ParamSpec(ctypes.Structure):
    _fields_ = [("instance", c_void_p), ("name", c_char_p), ("flags", c_int),
                ("value_type", c_size_t), ("owner_type", c_size_t)]


# Function -> its result and arguments; P for every pointer.
P = c_void_p
FUNCTIONS = {
    "gst_init": (None, P, P),
    "gst_parse_launch": (P, c_char_p, POINTER(POINTER(Error))),
    "gst_bin_get_by_name": (P, P, c_char_p),
    "gst_element_set_state": (c_int, P, c_int),
    "gst_element_get_bus": (P, P),
    "gst_bin_recalculate_latency": (c_int, P),
    "gst_bus_get_pollfd": (None, P, POINTER(PollFD)),
    "gst_bus_pop_filtered": (POINTER(Message), P, c_uint),
    "gst_mini_object_unref": (None, POINTER(Message)),
    "gst_message_parse_error": (None, POINTER(Message), POINTER(POINTER(Error)),
                                POINTER(c_char_p)),
    "gst_message_parse_warning": (None, POINTER(Message), POINTER(POINTER(Error)),
                                  POINTER(c_char_p)),
    "gst_message_parse_progress": (None, POINTER(Message), P, P, POINTER(c_char_p)),
    "gst_value_array_get_type": (c_size_t,),
    "gst_value_array_append_value": (None, POINTER(Value), POINTER(Value)),
    "gst_value_deserialize": (c_int, POINTER(Value), c_char_p),
    "g_value_init": (P, POINTER(Value), c_size_t),
    "g_value_set_string": (None, POINTER(Value), c_char_p),
    "g_param_value_validate": (c_int, POINTER(ParamSpec), POINTER(Value)),
    "g_object_class_find_property": (POINTER(ParamSpec), P, c_char_p),
    "g_object_set_property": (None, P, c_char_p, POINTER(Value)),
}


def load():
    """GStreamer and what it stands on, as one library."""
    try:
        library = ctypes.CDLL("libgstreamer-1.0.so.0")
    except OSError as error:
        raise Failure("GStreamer is not installed: apt install gstreamer1.0-nice "
                      "gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
                      "gstreamer1.0-plugins-bad", str(error)) from None
    for name, (result, *arguments) in FUNCTIONS.items():
        function = getattr(library, name)  # its dependencies' functions are found as well
        function.restype, function.argtypes = result, arguments
    library.gst_init(None, None)
    return library


def text(pointer):
    return (pointer or b"").decode("utf-8", "replace")


def parse(gst, description):
    """The pipeline; raises Failure for one that gst-launch-1.0 would refuse."""
    error = POINTER(Error)()
    pipeline = gst.gst_parse_launch(description.encode(), byref(error))
    if error:
        sentence = text(error.contents.message)
        if sentence in ('no element "vdoninjasrc"', 'no element "shmnumpysink"'):
            sentence += "; install gstreamer1.0-vdoninja, or set GST_PLUGIN_PATH"
        elif sentence == "syntax error":
            sentence += f" in {description!r}"
        raise Failure(sentence, description)
    return pipeline


def fill(gst, value, kind, given):
    """Makes a value of a type from one of Python; returns whether it fits."""
    gst.g_value_init(byref(value), kind)
    if kind == STRING and not isinstance(given, list):
        gst.g_value_set_string(byref(value), str(given).encode())  # nothing in it is syntax
        return True
    if kind == gst.gst_value_array_get_type() and isinstance(given, list):
        for member in given:
            item = Value()
            fill(gst, item, STRING, member)
            gst.gst_value_array_append_value(byref(value), byref(item))
        return True
    if isinstance(given, bool):
        given = str(given).lower()
    return not isinstance(given, list) and bool(
        gst.gst_value_deserialize(byref(value), str(given).encode()))


def set_properties(gst, pipeline, element_name, properties):
    element = gst.gst_bin_get_by_name(pipeline, element_name.encode())
    for name, given in properties.items():
        own_class = ctypes.cast(element, POINTER(P)).contents
        spec = gst.g_object_class_find_property(own_class, name.encode())
        if not spec:
            raise Failure(f"{element_name} has no property {name}; gst-inspect-1.0 "
                          f"{element_name} lists them", "")
        value = Value()
        fits = fill(gst, value, spec.contents.value_type, given)
        if not fits or gst.g_param_value_validate(spec, byref(value)):  # had to change it
            raise Failure(f"{given!r} is no value for {name}; gst-inspect-1.0 "
                          f"{element_name} tells what is", "")
        gst.g_object_set_property(element, name.encode(), byref(value))


def say(channel, kind, sentence, details=""):
    try:
        os.write(channel, ascii((kind, sentence, details)).encode() + b"\n")
    except BrokenPipeError:  # poll() is about to tell that nobody is there
        pass


def handle(gst, pipeline, message, channel):
    """Returns whether the pipeline has ended; raises Failure for an error."""
    kind = message.contents.kind
    if kind in (ERROR, WARNING):
        error, details = POINTER(Error)(), c_char_p()
        parse_it = (gst.gst_message_parse_error if kind == ERROR else
                    gst.gst_message_parse_warning)
        parse_it(message, byref(error), byref(details))
        sentence, where = text(error.contents.message), text(details.value)
        _, _, reason = where.partition("\n")  # behind the place in the source
        sentence += f" ({reason})" if reason else ""
        if kind == ERROR:
            raise Failure(sentence, where)
        say(channel, "warning", sentence, where)
    elif kind == PROGRESS:
        sentence = c_char_p()
        gst.gst_message_parse_progress(message, None, None, byref(sentence))
        say(channel, "progress", text(sentence.value))
    elif kind == LATENCY:
        gst.gst_bin_recalculate_latency(pipeline)
    elif kind == CLOCK_LOST:  # as gst-launch-1.0 does
        gst.gst_element_set_state(pipeline, PAUSED)
        gst.gst_element_set_state(pipeline, PLAYING)
    return kind == EOS


def follow(gst, pipeline, bus, watched, channel):
    """Until the pipeline has ended or there is any input, or the end of it, on one of the
    watched descriptors."""
    wake = PollFD()
    gst.gst_bus_get_pollfd(bus, byref(wake))
    poll = select.poll()
    for descriptor in (wake.fd, *watched):
        poll.register(descriptor, select.POLLIN)
    wanted = EOS | ERROR | WARNING | CLOCK_LOST | LATENCY | PROGRESS
    while True:
        while message := gst.gst_bus_pop_filtered(bus, wanted):
            try:
                if handle(gst, pipeline, message, channel):
                    return
            finally:
                gst.gst_mini_object_unref(message)
        if any(descriptor != wake.fd for descriptor, _ in poll.poll()):
            return


def play(request, channel):
    """request: {"parent": pid, "description": a pipeline for gst_parse_launch,
    "properties": {name of an element in it: {property: value}}, "pace": name of the
    sink that shows pictures at their time where the source is not live; may be missing}."""
    watched = [0]
    try:  # a fork of our parent may hold stdin open for longer than our parent lives
        watched.append(os.pidfd_open(request["parent"]))
    except (AttributeError, OSError):  # an old kernel, a container that forbids it
        pass
    if os.getppid() != request["parent"]:
        return
    gst = load()
    pipeline = parse(gst, request["description"])
    try:
        for name, properties in request["properties"].items():
            set_properties(gst, pipeline, name, properties)
        bus = gst.gst_element_get_bus(pipeline)
        begun = gst.gst_element_set_state(pipeline, PAUSED)
        if "pace" in request and begun not in (NO_PREROLL, FAILURE):
            set_properties(gst, pipeline, request["pace"],
                           {"sync": True, "max-lateness": -1})
        if begun != FAILURE:
            gst.gst_element_set_state(pipeline, PLAYING)
        import signal
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        follow(gst, pipeline, bus, watched, channel)
    except Failure as failure:  # told at once: NULL may outlast the alarm
        say(channel, "error", *failure.args)
    finally:
        import signal
        signal.alarm(STOP_SECONDS)
        gst.gst_element_set_state(pipeline, NULL)


def read_request():
    """Not by sys.stdin, whose buffer would keep the order to stop where no poll sees it."""
    def read(count):
        data = b""
        while len(data) < count and (more := os.read(0, count - len(data))):
            data += more
        return data

    return marshal.loads(read(int.from_bytes(read(8), "little")))


def main():
    channel = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no message of ours
    try:
        play(read_request(), channel)
    except Failure as failure:
        say(channel, "error", *failure.args)
    except KeyboardInterrupt:
        pass
    say(channel, "end", "")
    # Not by exit(): libraries whose threads still run would be torn down under them.
    os._exit(0)
