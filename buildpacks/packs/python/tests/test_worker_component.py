"""The component of workers is the base with one export renamed. Run: python3 -m unittest discover -s tests"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

import worker_component as made

NAME = b"wasi:http/incoming-handler@0.2.12"


def component(*contents):
    parts = [bytes([identifier]) + made.unsigned(len(content)) + content for identifier, content in contents]
    return made.MAGIC + b"".join(parts)


class Rename(unittest.TestCase):
    def test_only_the_handler_changes(self):
        before = b"\x01\x00" + bytes([len(NAME)]) + NAME + b"\x05\x07\x00"
        after = b"\x01\x00" + bytes([len(made.RENAMED)]) + made.RENAMED + b"\x05\x07\x00"
        other = (1, b"x" * 300)
        data = component(other, (made.EXPORT_SECTION, before), (0, NAME))
        self.assertEqual(made.convert(data), component(other, (made.EXPORT_SECTION, after), (0, NAME)))

    def test_a_component_without_the_handler_is_refused(self):
        with self.assertRaises(ValueError):
            made.convert(component((made.EXPORT_SECTION, b"\x00")))

    def test_a_core_module_is_refused(self):
        with self.assertRaises(ValueError):
            made.convert(b"\0asm\x01\0\0\0")


if __name__ == "__main__":
    unittest.main()
