"""The predictor stack, the ensemble of classifiers, elimination of features, the file of the model."""
