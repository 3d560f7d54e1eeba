"""What every test shares: how hypothesis runs, and where the servers are."""

from hypothesis import settings

from tests.services import postgresql, postgresql_url

__all__ = ["postgresql", "postgresql_url"]

# A time limit per example measures the machine's load, not the code. All else stays as
# hypothesis chose it: in continuous integration its examples do not change from run to run.
settings.register_profile("unbroken", deadline=None)
settings.load_profile("unbroken")
