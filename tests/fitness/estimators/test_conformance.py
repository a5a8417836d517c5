import pytest
from heterosis.core import registry
from heterosis.testing.estimators import check_estimator


@pytest.mark.parametrize("name", registry.names("estimators"))
def test_every_installed_estimator_keeps_the_contract(name):
    check_estimator(name)
