"""The builder of the one-file edition, parparchik-<version>.pyz.

A lock file pins every wheel of every interpreter we run on (`lock`). Building fetches exactly
those wheels, lays them out side by side in one site-packages (an extension module carries its
ABI in its file name, so the builds of one package for sixteen interpreters don't collide), checks
that nothing is missing, and has shiv make an archive of it. The bytes depend on the commit alone.

Run as `python -m pyz` with this directory's parent on the path: see the Makefile.
"""
