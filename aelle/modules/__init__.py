"""Any recurrent torch module as a driven map: probed, compared with what it is taken for, differentiated.

    measured = measured_module(module, inputs, dtype, initial_state, hidden_only)   # one module
    parts = captured_parts(model, batch, part)                                      # inside a larger model

`measured_module` gives the stack of tangent maps, their initial states and the sequences that drive them:

1. A torch.nn RNN, GRU, LSTM, one of their Cells, a subclass, an aelle cell or network is converted to cells with
   closed-form Jacobians (`conversion.checked_cells`). One of torch's own classes whose kernel runs over its own parameters
   (`plain.is_plain`) is what it looks like; of every other, the cells are held against the module that runs, on states of
   its own trajectory. Where they differ, `DiffersError` says what differs, and the module goes on to 2.
2. Every other module is read (`reading.read`): how it takes inputs (a cell, or a sequence, batch or time first), what its
   state is (tensor, tuple, NamedTuple, dict; complex parts as pairs), where the rows of a batch stand in it. The reading
   is accepted only where the module, called step by step, answers as it does at once, and a row alone as among others.
   `step.ModuleStep` is then a step on flat rows, and `lyapunov.automatic.AutomaticTangent` measures it and audits it.

To add a kind of module with a closed form, add its conversion to `recurrent/convert.py`; nothing here changes, and the
comparison with the module that runs comes of itself. A module is unwrapped (compiled, data-parallel) before it comes here.

Nothing here modifies a module: it runs on a private copy in evaluation mode. Where a user's hooks run on the way, a warning says so.
"""
