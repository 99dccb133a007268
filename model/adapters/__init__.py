"""LoRA and its relatives: read from any trainer's file, and applied to a network.

    adapter = read.read(Path("my_lora"))              # a file or a folder; AdapterError says what is wrong with it
    print(adapter.describe())                         # kind, layout, rank, where alpha came from, modules, sizes, hints
    adapted = network.share(network)                  # another network over the same weights
    attach.attach(adapted, [attach.Applied(adapter, 0.8, {"mlp": 0.5})])      # the weights stay as they are
    attach.set_strengths(adapted, [0.3])              # before any step; loads nothing

``attach(..., merged=True)`` writes the change into weights of 16 bits and more instead. One parameter alone, as for
merging a checkpoint on disk, is ``updates.update.merge(weight, [(entry.update, strength)])`` for every entry of that
name, in float32.

``names.py`` and ``roles.py`` read a file's keys, ``scales.py`` finds alpha, ``updates/kinds.py`` tells the kinds; each
kind is a file in ``updates/``, with its formula and how it acts on a layer whose weight stays as it is.
"""
