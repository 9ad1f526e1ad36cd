"""Numbers as a report says them."""

from datetime import UTC, datetime

__all__ = ["count", "day_and_time", "few", "lasting", "part", "span", "usd"]

_THOUSAND, _MILLION = 10_000, 10**6


def count(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,.0f}"


def few(number: float) -> str:
    """A number in few signs: 1.23, 12.3, 12.3 k, 4.5 M."""
    if abs(number) >= _MILLION:
        return f"{number / _MILLION:,.1f} M"
    if abs(number) >= _THOUSAND:
        return f"{number / 1e3:,.1f} k"
    return f"{number:,.0f}" if number == int(number) else f"{number:,.3g}"


def part(some: float, whole: float) -> str:
    """A share in percent, which is 0 or 100 only where it is so."""
    if not whole:
        return "–"
    if 0 < some < whole:
        percent = 100 * some / whole
        if percent < 0.1:
            return "< 0.1 %"
        return f"{min(percent, 99.9):.1f} %"
    return "100 %" if some else "0 %"


def usd(dollars: float) -> str:
    """Dollars, and cents as long as they matter."""
    return f"${dollars:,.2f}" if dollars >= 1 or not dollars else f"${dollars:.4f}"


def span(low: float, high: float) -> str:
    """From so many dollars to so many."""
    return usd(low) if usd(low) == usd(high) else f"{usd(low)} to {usd(high)}"


def lasting(seconds: float) -> str:
    """A time in its own unit."""
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 90:
        return f"{seconds:.3g} s"
    if seconds < 5_400:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3_600:.3g} h" if seconds < 172_800 else f"{seconds / 86_400:.3g} days"


def day_and_time(second: float) -> str:
    """A moment in UTC."""
    return datetime.fromtimestamp(second, UTC).strftime("%d %B %Y, %H:%M:%S UTC").lstrip("0")
