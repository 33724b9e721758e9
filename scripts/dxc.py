#!/usr/bin/env python3
"""Compiles HLSL with DXC, Microsoft's compiler for DirectX 12, as wgpu does, and lists what fails.

    scripts/dxc.py LIBRARY FOLDER

LIBRARY is a libdxcompiler.so; `make portability` fetches one. FOLDER holds *.hlsl, each with one
compute entry point. Exits with 1 where a text does not compile.
"""

import ctypes
import pathlib
import re
import sys
import time
import uuid

# dxcapi.h
CLSID_COMPILER = "73e22d93-e6ce-47f3-b5bf-f0664f39c1b0"
IID_COMPILER3 = "228b4687-5a6a-4730-900c-9702b2203f54"
IID_RESULT = "58346cda-dde7-4497-9461-6f87af5e0659"
IID_BLOB = "8ba5fb08-5195-40e2-ac58-0d989c3a0102"
UTF8 = 65001
ERRORS = 2

# Places in the tables of methods. Builds for Linux until 2023 have a destructor, two entries, behind
# the three methods of IUnknown, which is where this counts from.
RELEASE = 2
COMPILE = 5
STATUS, OUTPUT = 5, 8
POINTER, SIZE = 5, 6

# As wgpu-hal (dx12/shader_compilation.rs).
ARGUMENTS = ["-HV", "2018", "-no-warnings", "-Ges", "-enable-16bit-types"]


def guid(text):
    return ctypes.create_string_buffer(uuid.UUID(text).bytes_le, 16)


def call(this, place, *arguments):
    """Method number `place` of a COM object; arguments as ctypes values."""
    table = ctypes.cast(ctypes.cast(this, ctypes.POINTER(ctypes.c_void_p))[0], ctypes.POINTER(ctypes.c_void_p))
    kinds = [type(argument) for argument in arguments]
    return ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, *kinds)(table[place])(this, *arguments)


class Text(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t), ("encoding", ctypes.c_uint32)]


class Compiler:
    def __init__(self, library):
        self.this = ctypes.c_void_p()
        create = ctypes.CDLL(library).DxcCreateInstance
        code = create(guid(CLSID_COMPILER), guid(IID_COMPILER3), ctypes.byref(self.this))
        if code != 0:
            sys.exit(f"{library}: no compiler: {code & 0xFFFFFFFF:#x}")

    def errors(self, source):
        """What is wrong with a text: nothing where it compiles."""
        entry = re.search(r"\[numthreads[^\]]*\]\s*void\s+(\w+)", source)
        if not entry:
            return "no compute entry point"
        words = ["-E", entry[1], "-T", "cs_6_2", *ARGUMENTS]
        arguments = (ctypes.c_wchar_p * len(words))(*words)
        data = source.encode()
        text = Text(data, len(data), UTF8)
        result = ctypes.c_void_p()
        code = call(
            self.this, COMPILE, ctypes.c_void_p(ctypes.addressof(text)), ctypes.c_void_p(ctypes.addressof(arguments)),
            ctypes.c_uint32(len(words)), ctypes.c_void_p(), ctypes.c_void_p(ctypes.addressof(guid_result)),
            ctypes.c_void_p(ctypes.addressof(result)),
        ) & 0xFFFFFFFF
        if code != 0:
            return f"the compiler gave up: {code:#x}"
        status = ctypes.c_int32()
        call(result, STATUS, ctypes.c_void_p(ctypes.addressof(status)))
        messages = "" if status.value == 0 else self.messages(result)
        call(result, RELEASE)
        return messages

    def messages(self, result):
        blob = ctypes.c_void_p()
        call(result, OUTPUT, ctypes.c_uint32(ERRORS), ctypes.c_void_p(ctypes.addressof(guid_blob)),
             ctypes.c_void_p(ctypes.addressof(blob)), ctypes.c_void_p())
        if not blob:
            return "it does not compile, and the compiler says nothing more"
        words = ctypes.string_at(call(blob, POINTER), call(blob, SIZE)).decode(errors="replace").rstrip("\0\n")
        call(blob, RELEASE)
        return words or "it does not compile"


guid_result, guid_blob = guid(IID_RESULT), guid(IID_BLOB)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    compiler = Compiler(sys.argv[1])
    begin, failed = time.monotonic(), 0
    files = sorted(pathlib.Path(sys.argv[2]).glob("*.hlsl"))
    for file in files:
        errors = compiler.errors(file.read_text())
        if errors:
            failed += 1
            print(f"{file}: {errors}", file=sys.stderr)
    print(f"DXC: {len(files)} texts, {failed} fail, {time.monotonic() - begin:.0f} s")
    sys.exit(1 if failed or not files else 0)


main()
