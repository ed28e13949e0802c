import inspect

from api import errors


def test_every_category_is_caught_as_one_of_ours() -> None:
    categories = [each for _, each in inspect.getmembers(errors, inspect.isclass)]
    assert len(categories) == 11
    assert all(issubclass(each, errors.PodwrightError) for each in categories)


def test_no_category_hides_within_another() -> None:
    for _, category in inspect.getmembers(errors, inspect.isclass):
        if category is not errors.PodwrightError:
            assert category.__bases__ == (errors.PodwrightError,)
