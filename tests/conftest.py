"""What every test shares: how hypothesis runs."""

from hypothesis import settings

# A time limit per example measures the machine's load, not the code. All else stays as
# hypothesis chose it: in continuous integration its examples do not change from run to run.
settings.register_profile("unbroken", deadline=None)
settings.load_profile("unbroken")
