"""References are found in any spelling that a person may write down."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from aifeature.services.texts import references

SPACES = st.text(" \t\n", max_size=3)
MISHEARD = {"0": "oO0", "1": "iIlL1"}


@st.composite
def _as_written(draw: st.DrawFn, reference: str) -> str:
    """The reference in any case of letters, with letters for the digits they look like."""
    kind, rest = reference[:2], reference[2:]
    letters = [draw(st.sampled_from(MISHEARD.get(c, c + c.lower()))) for c in rest]
    return draw(SPACES) + kind + "".join(letters) + draw(SPACES)


@given(job=st.uuids(), other=st.uuids(), lower=st.booleans(), bare=st.booleans(), pad=SPACES)
def test_a_job_is_among_those_that_its_reference_names(
    job: UUID, other: UUID, lower: bool, bare: bool, pad: str
) -> None:
    reference = references.of_job(job)
    written = reference.removeprefix("J-") if bare else reference
    found = references.jobs(pad + (written.lower() if lower else written) + pad)
    assert found is not None
    first, last = found
    assert first <= job <= last
    assert (first <= other <= last) == (other.hex[:8] == job.hex[:8])


@given(rest=st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=10, max_size=10), data=st.data())
def test_the_reference_of_a_request_is_found_as_it_is_written_down(
    rest: str, data: st.DataObject
) -> None:
    assert references.request(data.draw(_as_written(f"W-{rest}"))) == f"W-{rest}"


@given(st.text(max_size=40))
def test_other_text_is_no_reference(text: str) -> None:
    assert references.jobs(f"{text} ") is None or len(text.strip()) in {8, 10}
    found = references.request(text)
    assert found is None or text.strip()[:2] in {"w-", "W-"}


def test_references_of_requests_differ() -> None:
    made = {references.new_request() for _ in range(1_000)}
    assert len(made) == 1_000
    assert all(references.request(each) == each for each in made)
