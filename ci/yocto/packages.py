"""meta-spotstream/packages.txt: what stands for each package of the Debian-built image."""

from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/src/meta-spotstream/packages.txt")
NONE = "-"


@dataclass(frozen=True)
class Equivalents:
    """Debian package to recipe; those without one have a reason."""

    recipe: dict[str, str]
    reason: dict[str, str]
    machine: dict[str, str]

    @staticmethod
    def read(path: Path = TABLE) -> "Equivalents":
        """The table; a line that cannot be read is an error."""
        found = Equivalents({}, {}, {})
        for number, line in enumerate(path.read_text().splitlines(), 1):
            text, _, comment = line.partition("#")
            words = text.split()
            if not words:
                continue
            if len(words) != 2:
                raise ValueError(
                    f"{path.name}, line {number}: write a Debian package and a recipe, or '-' and a reason"
                )
            package, recipe = words
            if package in found.recipe:
                raise ValueError(f"{path.name}, line {number}: {package} is here twice")
            recipe, _, machine = recipe.partition("@")
            if recipe == NONE and not comment.strip():
                raise ValueError(f"{path.name}, line {number}: say why nothing stands for {package}")
            found.recipe[package] = recipe
            found.reason[package] = comment.strip()
            found.machine[package] = machine
        return found

    def recipes(self, machine: str) -> set[str]:
        """Those that an image for `machine` is made of."""
        return {
            recipe
            for package, recipe in self.recipe.items()
            if recipe != NONE and self.machine[package] in ("", machine)
        }
