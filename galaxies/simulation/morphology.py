"""Physical parameters of a galaxy: what it *is*, before anything is said of how it is seen.

Radii are in arcsec or, where said, in units of the galaxy's half-light radius R; angles in radians, brightness and colours
in magnitudes (AB). Nothing in the rendering chooses a parameter of these.
"""

from dataclasses import dataclass

Colour = tuple[float, float]
"""g - r and r - z."""


@dataclass(frozen=True)
class Debris:
    """What an encounter tore out of a disc; fractions are of the disc's light."""

    tail_fraction: float = 0.0
    tail_reach: float = 2.5  # R
    tail_sweep: float = 2.0  # angle that a tail goes round
    num_tails: int = 1
    shell_fraction: float = 0.0


@dataclass(frozen=True)
class Morphology:
    """One galaxy. Its light is shared out between bulge, bar, halo and disc; arms, knots and tails are made of the disc's."""

    redshift: float
    radius_arcsec: float  # R: half-light radius along the major axis
    surface_brightness: float  # mean in r within R, mag/arcsec^2
    axis_ratio: float  # of the disc on the sky; of an edge-on disc its thickness
    position_angle: float
    disc_sersic: float = 1.0
    disc_colour: Colour = (0.55, 0.38)  # at 0.7 R
    colour_gradient: float = 0.0  # by how much g - r falls per R
    bulge_fraction: float = 0.0  # of the light
    bulge_radius: float = 0.2  # half-light, R
    bulge_sersic: float = 2.5
    bulge_axis_ratio: float = 0.9
    bulge_colour: Colour = (0.80, 0.58)
    bar_fraction: float = 0.0  # of the light
    bar_length: float = 0.8  # half its length, R
    bar_angle: float = 0.0  # in the plane of the disc
    num_arms: int = 0
    arm_pitch: float = 0.3
    arm_contrast: float = 0.0  # of an arm's crest above the disc under it, in units of that
    arm_sharpness: float = 2.0  # concentration of an arm's cross-section (of a von Mises profile)
    arm_irregularity: float = 0.0  # wander of the arms' phase, rad
    arm_reach: float = 2.4  # where the arms fade, R
    winding: int = 1  # +1 or -1
    ring_contrast: float = 0.0  # of an inner ring, as arm_contrast
    flocculence: float = 0.0  # scatter of the natural logarithm of brightness in sheared patches
    patchiness: float = 0.0  # the same in irregular ones
    knot_fraction: float = 0.0  # of the disc's light, in star-forming knots
    is_edge_on: bool = False
    dust_lane: float = 0.0  # share of g that it takes away in the middle
    lopsidedness: float = 0.0  # shift of the disc against the centre, R
    distortion: float = 0.0  # large-scale bending, R
    debris: Debris = Debris()
    halo_fraction: float = 0.0  # of the light, in a wide envelope
    companion: "Morphology | None" = None
    companion_offset: tuple[float, float] = (0.0, 0.0)  # to the right and down, arcsec
