"""A device is chosen by the same words in every command, and offered behind all of them."""

import typer

from robustpeft.cli.app import app


def options_called(name):
    commands = typer.main.get_command(app).commands.values()
    return [option for command in commands for option in command.params if option.name == name]


def test_a_device_is_asked_for_in_the_same_words_everywhere():
    found = options_called("device")
    assert len(found) >= 6
    assert len({(option.help, option.default) for option in found}) == 1


def test_devices_are_offered_behind_every_device():
    for option in options_called("device"):
        offered = option.shell_complete(None, "cp")
        assert [item.value for item in offered] == ["cpu"]
