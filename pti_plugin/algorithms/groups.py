"""The groups of the toolbox: frozen id, name, icon."""

DATASET = ("dataset", "0 Dataset", "ensemble.svg")
ENSEMBLES = ("ensembles", "1 Ensembles", "ensemble.svg")
TRENDS = ("trends", "2 Trends", "trend.svg")
INDEX = ("index", "3 Thaw index", "index.svg")
LEARNING = ("learning", "4 Learning and mapping", "learning.svg")
STATIONS = ("assessment", "5 Assessment", "stations.svg")
