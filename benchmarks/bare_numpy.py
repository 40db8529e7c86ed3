"""The formulas of the calibrators in a few lines of NumPy each, without checks, pieces or care for extreme numbers:
what ``predict_proba`` is compared with (``calibrators.py``).

Every function takes a fitted calibrator and finite logits, and returns probabilities in the precision of the logits.
"""

import numpy as np


def softmax(u):
    u = u - u.max(axis=1, keepdims=True)
    np.exp(u, out=u)
    u /= u.sum(axis=1, keepdims=True)
    return u


def log_softmax(z):
    x = z - z.max(axis=1, keepdims=True)
    x -= np.log(np.exp(x).sum(axis=1, keepdims=True))
    return x


def identity(_, z):
    return softmax(z)


def temperature(c, z):
    return softmax(z / z.dtype.type(c.temperature_))


def vector(c, z):
    return softmax(log_softmax(z) * c.weights_.astype(z.dtype) + c.bias_.astype(z.dtype))


def nbvs(c, z):
    return softmax(log_softmax(z) * c.weights_.astype(z.dtype))


def bcts(c, z):
    return softmax(z * z.dtype.type(c.scale_) + c.bias_.astype(z.dtype))


def features(c, z):
    """Return the logarithms of probabilities at the first temperature, with the uniform law mixed in where it is."""
    t = z.dtype.type
    z = z if c.inverse_temperature_ == 1 else z * t(c.inverse_temperature_)
    return np.log(softmax(z) * t(1 - c.mix_) + t(c.mix_ / z.shape[1])) if c.mix_ else log_softmax(z)


def svs(c, z):
    return softmax(features(c, z) * c.weights_.astype(z.dtype) + c.bias_.astype(z.dtype))


def matrix(c, z):
    m = c.formula().matrix.astype(z.dtype)
    return softmax(features(c, z) @ m[:-1] + m[-1])


def ets(c, z):
    scaled, own, share = c.weights_.astype(z.dtype)
    return scaled * temperature(c, z) + own * softmax(z) + share / z.dtype.type(z.shape[1])


def class_temperature(c, z):
    scale = (c.inverse_temperature_ * c.weights_).astype(z.dtype)
    return softmax(z * scale[z.argmax(axis=1)][:, None])


def adaptive_temperature(c, z):
    x = log_softmax(z * z.dtype.type(c.inverse_temperature_))
    top = np.sort(np.partition(x, z.shape[1] - 3, axis=1)[:, -3:], axis=1)
    h = np.hstack([np.ones((len(x), 1), x.dtype), top, (np.exp(x) * x).sum(axis=1, keepdims=True)])
    return softmax(x * np.maximum(h @ c.coef_.astype(z.dtype), z.dtype.type(0.01))[:, None])


def prior(c, z):
    return softmax(z + np.log(c.target_prior_ / c.source_prior_).astype(z.dtype))


def focal_map(c, z):
    gamma = z.dtype.type(c.gamma)
    x = log_softmax(z / z.dtype.type(c.temperature_))
    q = np.exp(x)
    p = q / ((1 - q) ** gamma - gamma * q * (1 - q) ** (gamma - 1) * x)
    return p / p.sum(axis=1, keepdims=True)


def auto(c, z):
    k, t = z.shape[1], z.dtype.type
    if not c.kept_:
        return softmax(z)
    x = np.maximum(log_softmax(z), t(np.log(1e-7)))
    m = c.formula().matrix.astype(z.dtype)
    return t(1 - c.uniform_share_) * softmax(x * t(c.inverse_temperature_) @ m[:k] + m[k]) + t(c.uniform_share_ / k)


def one_by_one(c, z, values):
    """Return what a function of the class and of its probabilities gives, divided by the sum, with the mix."""
    p = softmax(z.astype(np.float64))
    out = np.stack([values(k, p[:, k]) for k in range(z.shape[1])], axis=1)
    out /= out.sum(axis=1, keepdims=True)
    rows = c.mixed_rows(z.shape[1])
    out *= c.n_rows_ / (c.n_rows_ + rows)
    out += rows / z.shape[1] / (c.n_rows_ + rows)
    return out.astype(z.dtype)


def table(c, z):
    def values(k, x):
        keys, found = c.table(k)
        if c.is_step:
            return found[np.minimum(np.searchsorted(keys, x, "left"), len(found) - 1)]
        return np.interp(x, keys, found)

    return one_by_one(c, z, values)


def venn_abers(c, z):
    def values(k, x):
        start, stop = c.splits_[k], c.splits_[k + 1]
        scores, places = c.scores_[start:stop], slice(start + k, stop + k + 1)
        low = c.p0_[places][np.searchsorted(scores, x, "right")]
        high = c.p1_[places][np.searchsorted(scores, x, "left")]
        return high / (1 - low + high)

    return one_by_one(c, z, values)


def top_label_histogram(c, z):
    p, every = softmax(z.astype(np.float64)), np.arange(len(z))
    best = p.argmax(axis=1)
    top, found = p[every, best], np.empty(len(z))
    for k in range(z.shape[1]):
        keys, values = (part[c.splits_[k] : c.splits_[k + 1]] for part in (c.keys_, c.values_))
        own = best == k
        found[own] = (
            values[np.minimum(np.searchsorted(keys, top[own], "left"), len(keys) - 1)] if len(keys) else top[own]
        )
    p *= ((1 - found) / (1 - top))[:, None]
    p[every, best] = found
    return p.astype(z.dtype)


#: The formula of each calibrator of any number of classes. Where all is a table, it is that which ``table`` returns.
FORMULAS = {
    "identity": identity, "temperature": temperature, "vector": vector, "nbvs": nbvs, "bcts": bcts, "svs": svs,
    "sms": matrix, "dirichlet": matrix, "ets": ets, "class-temperature": class_temperature,
    "adaptive-temperature": adaptive_temperature, "focal-map": focal_map, "prior": prior, "auto": auto,
    "histogram": table, "isotonic": table, "centred-isotonic": table, "near-isotonic": table, "bbq": table,
    "scaling-binning": table, "venn-abers": venn_abers, "top-label-histogram": top_label_histogram,
}  # fmt: skip
