"""Networks made trainable before they train: `condition` mends, `diagnose` says what there is to mend.

    result = condition(model, inputs, readout, horizon=100)   # in place; result.before, result.after, result.plot()

A network is taken apart into `stack.Stack`s, one for each of its recurrent parts (each direction of each layer of a
bidirectional one): cells in float64 under the inputs that drive them. A method (`scale`, `floss`, `shape`; one file each,
`method.Method` behind all) moves the parameters of one stack; `condition` measures before and after along sequences that the method
did not see, and takes back what did not help.
"""

from aelle.conditioning.condition import condition
from aelle.conditioning.diagnose import Diagnosis, diagnose
from aelle.conditioning.method import Method
from aelle.conditioning.methods import METHODS
from aelle.conditioning.result import Conditioning

__all__ = ["METHODS", "Conditioning", "Diagnosis", "Method", "condition", "diagnose"]
