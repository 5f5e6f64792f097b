"""The contest's methods by the names that its tables show."""

from cells import GATED, Method

RIVALS = {
    "gradient clipping": Method(clip=1.0, scope="short"),
    "orthogonal": Method("orthogonal", rival=True),
    "identity": Method("identity", only=("relu_rnn",), rival=True, scope="short"),
    "forget bias 1": Method("forget bias 1", only=GATED, rival=True, scope="short"),
    "orthogonal, forget bias 1": Method("orthogonal, forget bias 1", only=GATED, rival=True),
    "chrono": Method("chrono", only=GATED, rival=True),
    "unit variance": Method("unit variance", rival=True, scope="all"),
}
CONDITIONED = {
    "flossed": Method(condition={"method": "floss"}, settings={"k": 1}, scope="once"),
    "scaled": Method(condition={"method": "scale"}),
    "scaled to 0": Method(condition={"method": "scale", "target": 0.0}),
    "scaled and shaped": Method(condition={"method": "scale+shape"}, scope="all"),
    "orthogonal, scaled and shaped": Method(
        "orthogonal, forget bias 1", condition={"method": "scale+shape"}, scope="short"
    ),
}
GAINS = {
    "random gain": Method("random gain", scope="short"),
    "random gain, scaled and shaped": Method(
        "random gain", condition={"method": "scale+shape"}, scope="short"
    ),
}
METHODS = {"torch default": Method(scope="all"), **RIVALS, **CONDITIONED, **GAINS}
OURS = tuple(name for name in CONDITIONED if METHODS[name].start == "torch default")
# What stands for a method, over all architectures, in those that it is not made for.
ELSEWHERE = dict.fromkeys(["identity", "forget bias 1", "orthogonal, forget bias 1", "chrono"], "orthogonal")
