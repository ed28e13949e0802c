from api.ids import new_container_id, new_sandbox_id


def test_ids_are_64_lower_case_hex_digits_and_differ() -> None:
    ids = {new_sandbox_id(), new_sandbox_id(), new_container_id(), new_container_id()}
    assert len(ids) == 4
    assert all(len(each) == 64 and set(each) <= set("0123456789abcdef") for each in ids)
