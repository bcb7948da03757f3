"""Checks of a protocol that need the methods themselves: their options, and the answers that they give."""

from __future__ import annotations

from benchmark.config import Settings
from benchmark.planning.scenarios import check_scenario, learned_as, rules_for
from benchmark.results.questions import Asked
from benchmark.storage.published import Published
from methods.configured import configure
from methods.errors import UserError


def check_methods(settings: Settings, published: Published) -> None:
    """Refuse what would be noticed only after the parts before have learned.

    Args:
        settings: of the run of a part.
        published: what it is to reproduce.

    Raises:
        UserError: a method has an unknown option, cannot learn in the scenario, or does not give a target's answer.
    """
    part = f" ({published.part})" if published.part else ""
    where = f"reproduce {published.protocol}{part}"
    scenario = settings.scenario
    try:
        configured = [configure(spec, **settings.recipe) for spec in settings.methods]
        check_scenario(scenario, configured)
        rules = rules_for(scenario, configured, settings.infer)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    own = {method.label: learned_as(scenario, method) for method in configured}
    for target in published.targets:
        # One head for all domains needs no rule.
        given = Asked(scenario, own[target.method], () if own[target.method] == "domain" else rules).all
        if target.answer and target.answer not in given:
            raise UserError(
                f"{where}: {target.row} ({target.method}) gives no answer '{target.answer}' in the scenario "
                f"{scenario}; `answer` of its targets is one of {', '.join(given)}"
            )
