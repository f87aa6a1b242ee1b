"""Errors of an artefact on a data set, for its manifest."""


def errors_on(path, spec: str) -> dict[str, float]:
    """Force RMSE and MAE (eV/Å), energy RMSE (eV/atom) and number of frames of an artefact on a data set."""
    from metalff.data import read
    from metalff.potentials import resolve
    from metalff.validate.compare import compare

    dataset = read(spec)
    (result,) = compare([resolve(str(path), dataset.elements)], dataset)
    overall = result.overall
    return {
        "force_rmse": overall.force_rmse.value,
        "force_mae": overall.force_mae.value,
        "energy_rmse": overall.energy_rmse.value,
        "frames": overall.frames,
    }
