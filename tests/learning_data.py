"""Samples whose attainable accuracy is known, because the noise in their labels was planted."""

import numpy as np

from pti_plugin.core.common import ranks
from pti_plugin.core.ensembles.features import PREDICTORS, Feature
from pti_plugin.core.rasters.grid import coordinate_transformation, epsg_wkt
from pti_plugin.core.samples.sampling import Samples

#: codes of land cover that mean something to the planted classes, and others
COVER = (30, 130, 201, 60, 70, 190)


def planted(n, seed, noise=0.35, classes=10, features=tuple(PREDICTORS)):
    """Return Samples (n) of ``classes`` ranks that follow three predictors, but for the share ``noise`` of labels.

    The class is made of lst, snow and land cover, the first three numbers and classes that matter; every other
    predictor is noise. A label is exchanged for one of the other classes, each as likely, with probability ``noise``;
    so no classifier can be right more often than 1 − ``noise``, and one that knows the rule is just as often.
    """
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 100, (n, len(features)))
    cover = features.index("land_cover")
    x[:, cover] = rng.choice(COVER, n)
    lst, snow = x[:, features.index("lst")], x[:, features.index("snow")]
    half = (classes + 1) // 2
    place = np.minimum((lst * half / 100).astype(int), half - 1) + np.where(
        np.isin(x[:, cover], COVER[:3]) == (snow < 50), half, 0)
    place = np.minimum(place, classes - 1)
    exchanged = rng.random(n) < noise
    place = np.where(exchanged, (place + rng.integers(1, classes, n)) % classes, place)
    return samples_of(np.array(ranks.CODES[:classes])[place], x, features, seed=seed)


def autocorrelated(n, seed, scale_km=400.0, classes=5, features=("lst", "snow", "elevation", "slope", "land_cover"),
                   half_km=2000.0):
    """Return Samples (n) of smooth random predictors and of ranks that are a smooth random field of their own.

    Predictors and ranks vary over ``scale_km`` and know nothing of each other. Whoever has a close neighbour among the
    training points can still tell the rank by recognising the place; away from them nobody can. Ranks are equally
    frequent, so luck is right once in ``classes``. The points lie in a square of 2 × ``half_km`` round the pole.
    """
    rng = np.random.default_rng(seed)
    places = rng.uniform(-half_km, half_km, (n, 2))
    fields = np.array([_field(rng, places, scale_km) for _ in range(len(features) + 1)])
    fields = np.argsort(np.argsort(fields, axis=1), axis=1) / n
    x = 100 * fields[:-1].T
    if "land_cover" in features:
        cover = features.index("land_cover")
        x[:, cover] = np.array(COVER)[(fields[cover] * len(COVER)).astype(int)]
    labels = np.array(ranks.CODES[:classes])[(fields[-1] * classes).astype(int)]
    return samples_of(labels, x, features, places)


def _field(rng, places, scale_km):
    """A smooth random field at places (n, 2) in km: a sum of waves whose spectrum is Gaussian."""
    waves = rng.normal(0, 1 / scale_km, (2, 200))
    return np.cos(places @ waves + rng.uniform(0, 2 * np.pi, 200)).sum(axis=1)


def samples_of(labels, x, features, places=None, seed=0):
    """Return Samples of ``labels`` and predictors ``x`` at places (n, 2) in km from the pole, or at random."""
    if places is None:
        places = np.random.default_rng((seed, 1)).uniform(-2500, 2500, (len(labels), 2))
    change = coordinate_transformation(epsg_wkt(6931), epsg_wkt(4326))
    degrees = np.array(change.TransformPoints(1000.0 * np.asarray(places)))
    known = tuple(Feature(name, PREDICTORS[name].group, PREDICTORS[name].categorical) for name in features)
    return Samples(x.astype(np.float32), np.asarray(labels), degrees[:, 0], degrees[:, 1], known)
