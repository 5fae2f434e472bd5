"""DomainNet: 345 kinds of things as clip art, infographics, paintings, quick drawings, photographs and sketches."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release
from tladapt.data.catalogue.image_entry import SplitPairs, folder_release

DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
LIST_SHA256 = {
    "clipart train": "affdadf5f95a7583e6b98030a3d35007e2613ee4dd942393c5a705ec2b429312",
    "clipart test": "62c8e36aaba1c41ad9e249099739707220a44c08f167b37ef420f34a31628a6b",
    "infograph train": "36b44cbd41a2915e0dc73b4f4be8862a6f3c220f93c8d63fb2439beeae3aefda",
    "infograph test": "413cfa54ac92e7e6b242f4f09fbd9c8ace85c4deaf3cb6c81ff6b68264460136",
    "painting train": "f1da38d50a702fddf1329f85bc607d7a2abcae7e6aec75e1fd49cc1bd340d47b",
    "painting test": "11472b13b5188e09f06918b12eebb660588c97a20e43e268d9b02e3e37eb8f97",
    "quickdraw train": "3a5edd3bc215772010eebc87f158707703dd7e48091d13b816af81326a9d1c0f",
    "quickdraw test": "2a00a60650a453c65c356da748fec54084a197272137c440e7d52d08947357bf",
    "real train": "19d483256d24aef19e581b65eda8333fd918aef3eb733fe499ff384120e3a289",
    "real test": "2b3f75bcde309aeb5931292084b2162e936b5f189e3bb1ad716f0f74c460864c",
    "sketch train": "72f4bc6afa5702a1ccba800d0053c1427de87439dfaf246dbc9a2e71abfec54f",
    "sketch test": "3fb48fca18c507c4321f007c3f62b308ec232ff6928cbfe2af64e76ec366e840",
}
"""sha256 of the lists of the cleaned version."""
_NAMES = """
    aircraft_carrier airplane alarm_clock ambulance angel animal_migration ant anvil apple arm asparagus axe backpack
    banana bandage barn baseball baseball_bat basket basketball bat bathtub beach bear beard bed bee belt bench bicycle
    binoculars bird birthday_cake blackberry blueberry book boomerang bottlecap bowtie bracelet brain bread bridge
    broccoli broom bucket bulldozer bus bush butterfly cactus cake calculator calendar camel camera camouflage campfire
    candle cannon canoe car carrot castle cat ceiling_fan cello cell_phone chair chandelier church circle clarinet clock
    cloud coffee_cup compass computer cookie cooler couch cow crab crayon crocodile crown cruise_ship cup diamond
    dishwasher diving_board dog dolphin donut door dragon dresser drill drums duck dumbbell ear elbow elephant envelope
    eraser eye eyeglasses face fan feather fence finger fire_hydrant fireplace firetruck fish flamingo flashlight
    flip_flops floor_lamp flower flying_saucer foot fork frog frying_pan garden garden_hose giraffe goatee golf_club
    grapes grass guitar hamburger hammer hand harp hat headphones hedgehog helicopter helmet hexagon hockey_puck
    hockey_stick horse hospital hot_air_balloon hot_dog hot_tub hourglass house house_plant hurricane ice_cream jacket
    jail kangaroo key keyboard knee knife ladder lantern laptop leaf leg light_bulb lighter lighthouse lightning line
    lion lipstick lobster lollipop mailbox map marker matches megaphone mermaid microphone microwave monkey moon
    mosquito motorbike mountain mouse moustache mouth mug mushroom nail necklace nose ocean octagon octopus onion oven
    owl paintbrush paint_can palm_tree panda pants paper_clip parachute parrot passport peanut pear peas pencil penguin
    piano pickup_truck picture_frame pig pillow pineapple pizza pliers police_car pond pool popsicle postcard potato
    power_outlet purse rabbit raccoon radio rain rainbow rake remote_control rhinoceros rifle river roller_coaster
    rollerskates sailboat sandwich saw saxophone school_bus scissors scorpion screwdriver sea_turtle see_saw shark sheep
    shoe shorts shovel sink skateboard skull skyscraper sleeping_bag smiley_face snail snake snorkel snowflake snowman
    soccer_ball sock speedboat spider spoon spreadsheet square squiggle squirrel stairs star steak stereo stethoscope
    stitches stop_sign stove strawberry streetlight string_bean submarine suitcase sun swan sweater swing_set sword
    syringe table teapot teddy-bear telephone television tennis_racquet tent The_Eiffel_Tower The_Great_Wall_of_China
    The_Mona_Lisa tiger toaster toe toilet tooth toothbrush toothpaste tornado tractor traffic_light train tree triangle
    trombone truck trumpet t-shirt umbrella underwear van vase violin washing_machine watermelon waterslide whale wheel
    windmill wine_bottle wine_glass wristwatch yoga zebra zigzag
"""
CLASSES = tuple(_NAMES.split())
"""In the order of the numbers in the lists."""
DOMAINNET = folder_release(
    "DomainNet (cleaned version)",
    {domain: (domain, f"{domain}.zip") for domain in DOMAINS},
    folders=("domainnet", "DomainNet", "domain_net", "domainnet/images"),
    obtain="http://ai.bu.edu/M3SDA/ (DOMAIN.zip, unpacked or as it is, with DOMAIN_train.txt and DOMAIN_test.txt)",
    lists={
        f"{domain} {name}": [f"{folder}{domain}_{name}.txt" for folder in ("", "splits/", "image_list/", "txt/")]
        for domain in DOMAINS
        for name in ("train", "test")
    },
    tfds="domainnet",
)


@SCENARIOS.register("domainnet")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainNet(SplitPairs):
    """DomainNet, the cleaned version, on one of the 30 pairs of its domains.

    Source: the train list of one domain, labelled. Target: the train list of another, without labels; test: its test
      list, about three tenths. `split="all"` takes every picture that is there, which is more than the lists name, and
      tests on the target itself. The sizes count the listed pictures.
    Inputs: uint8 RGB, the centre cut out of a short side of 256; decoded on demand.

    Source: Peng, Bai, Xia, Huang, Saenko, Wang, "Moment matching for multi-source domain adaptation", ICCV 2019,
      arXiv:1812.01754. Checksums of the lists: TensorFlow Datasets, `domainnet`.
    """

    pair: str = "real-sketch"
    """Source and target, two of the domains; "domainnet:clipart-painting" says it, too."""

    summary: ClassVar[str] = "345 kinds of things, 6 domains, 30 pairs: official train lists, tested on the test list"
    domains: ClassVar[tuple[str, ...]] = DOMAINS
    classes: ClassVar[tuple[str, ...]] = CLASSES
    lists: ClassVar[Mapping[str, str]] = {"source": "train", "target": "train", "test": "test"}
    list_sha256: ClassVar[Mapping[str, str]] = LIST_SHA256
    protocol: ClassVar[str] = (
        "The source's train list labelled, the target's train list unlabelled, its test list tested on."
    )
    sizes: ClassVar[Mapping[str, int]] = {
        **{"clipart": 48129, "infograph": 51605, "painting": 72266},
        **{"quickdraw": 172500, "real": 172947, "sketch": 69128},
    }
    licence: ClassVar[str] = "pictures from the web under their owners' rights; for non-commercial research."
    obtain: ClassVar[str] = DOMAINNET.obtain
    releases: ClassVar[tuple[Release, ...]] = (DOMAINNET,)
