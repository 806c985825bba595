"""Top-k errors and confusions image by image, for comparison with the fast ones."""

from collections import Counter

from detector.records import Array


def guesses(row: Array) -> list[int]:
    """All labels 1..C, the most probable first, of equal ones the lower first."""
    return sorted(range(1, len(row) + 1), key=lambda label: (-row[label - 1], label))


def errors_one_by_one(probs: Array, labels: Array, k: int) -> float:
    wrong = 0
    for row, label in zip(probs, labels, strict=True):
        if label not in guesses(row)[:k]:
            wrong += 1
    return wrong / len(labels)


def confusions_one_by_one(probs: Array, labels: Array) -> Counter[tuple[int, int]]:
    """How often a label (first) was taken for another (second)."""
    pairs = ((int(label), guesses(row)[0]) for row, label in zip(probs, labels, strict=True))
    return Counter(pair for pair in pairs if pair[0] != pair[1])
