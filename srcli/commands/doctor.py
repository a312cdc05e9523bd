"""srcli doctor: what this installation has, and whether it works."""

import typer

from srcli import console
from srcli.commands.options import Json


def doctor(json: Json = False) -> None:
    """Check the installation and time one tile.

    Looks at torch, devices, codecs, extras, folders, the Hub and the weights. Exits 1 if something is broken.

    Example: srcli doctor
    """
    from srcli.engine.doctor import examine

    broken = []
    for finding in examine():
        if json:
            console.record(finding)
        else:
            mark = "" if finding.state == "ok" else f"  [{finding.state}]"
            console.result(f"{finding.name + ':':<19} {finding.found}{mark}")
            if finding.advice:
                console.result(f"{'':<19} {finding.advice}")
        if finding.state == "broken":
            broken.append(finding)
    for finding in broken:
        console.error(f"{finding.name}: {finding.found}; {finding.advice}")
    if broken:
        raise typer.Exit(1)
