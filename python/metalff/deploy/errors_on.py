"""Errors of an artefact on a data set, for its manifest."""


def errors_on(path, spec: str) -> dict[str, dict[str, float]]:
    """Errors of an artefact on a data set, and on each group of it.

    Returns:
        ``SPEC`` → ``frames``, ``atoms``, ``force_rms``, ``force_rmse``, ``force_mae`` (eV/Å), ``normalised``, ``energy_rmse``, ``energy_rmse_offset``
        (eV/atom) and ``stress_rmse`` (eV/Å³) where there are any; ``SPEC, GROUP`` → what ``validate.groups`` says of that group.
    """
    from metalff.data import read
    from metalff.potentials import resolve
    from metalff.validate.compare import compare
    from metalff.validate.groups import PART

    dataset = read(spec)
    (result,) = compare([resolve(str(path), dataset.elements)], dataset)
    overall = result.overall
    whole = {
        "frames": overall.frames,
        "atoms": overall.atoms,
        "force_rms": overall.force_rms_reference,
        "force_rmse": overall.force_rmse.value,
        "force_mae": overall.force_mae.value,
        "energy_rmse": overall.energy_rmse.value,
        "energy_rmse_offset": overall.energy_rmse_offset.value,
    }
    if overall.force_rmse_normalised:
        whole["normalised"] = overall.force_rmse_normalised.value
    if overall.stress_rmse:
        whole["stress_rmse"] = overall.stress_rmse.value
    return {spec: whole} | {f"{spec}{PART}{label}": errors for label, errors in result.groups.items()}
