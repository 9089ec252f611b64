"""The constants of docs/rules.md. A change here is a new version: results of two versions never share a board."""

RULES_VERSION = 3

SHORTEST_ITERATIONS = 200
"""Below this, or below one epoch, a run is marked `too_short`."""

REPLAN_AFTER = 0.03
"""The share of its budget after which a run in iterations pace compares itself with the plan, once."""
REPLAN_TOLERANCE = 0.01

OFF_BUDGET = {"cuda": 0.02, "cpu": 0.20}
"""How far spent may lie from the budget in iterations pace, as a share of it."""

DATA_BOUND = 0.05
"""The share of an accelerator's training time in which it waited for data, above which a run is marked."""
DISTURBED = 0.05
"""The share of samples, above which a device counts as throttled, or as shared."""
SLOW_NODE = {"cuda": 0.02, "cpu": 0.20}
"""How far a host's own baseline may lie from the track's. One core drifts by a tenth between two processes."""

HUNG_SECONDS = 600.0
"""A run that shows no progress for so long, by the wall's clock, is killed."""

AGREEMENT_SHARE = 0.01
AGREEMENT_SECONDS = 0.5
"""Two accounts of the same time agree within the larger of these."""

COST_TOLERANCE = 0.01
"""The half-width of a cost's interval under which its measurement may stop."""

EPOCHS_FACTOR = 10.0
"""A plan marks epochs beyond this factor of the recipe's, either way."""

GRADIENT_SHARES = (0.01, 100.0)
"""A term whose gradient is less or more than this of the task loss's is warned about."""

TUNE_BASE = 3.0
TUNE_STEPS = (-2, -1, 0, 1, 2)
"""A grid of weights: the base to these powers, times the descriptor's."""
TUNE_SEED = 1000
TUNE_BUDGETS = {"streets": "20s"}
"""What a trial may spend, by workload."""
