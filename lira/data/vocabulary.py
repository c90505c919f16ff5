"""The things that the demo can draw: name used in captions -> code points of the picture's file in Fluent Emoji."""

VOCABULARY: dict[str, str] = {
    # Food.
    "red apple": "1f34e", "green apple": "1f34f", "pear": "1f350", "lemon": "1f34b", "banana": "1f34c",
    "watermelon": "1f349", "strawberry": "1f353", "peach": "1f351", "pineapple": "1f34d", "kiwi": "1f95d",
    "tomato": "1f345", "eggplant": "1f346", "avocado": "1f951", "carrot": "1f955", "broccoli": "1f966",
    "mushroom": "1f344", "onion": "1f9c5", "croissant": "1f950", "pretzel": "1f968", "pizza": "1f355",
    "hamburger": "1f354", "hot dog": "1f32d", "taco": "1f32e", "egg": "1f95a", "doughnut": "1f369",
    "cookie": "1f36a", "birthday cake": "1f382", "cupcake": "1f9c1", "lollipop": "1f36d", "ice cream": "1f366",
    "cheese": "1f9c0", "sandwich": "1f96a",
    # Animals.
    "dog": "1f436", "cat": "1f431", "mouse": "1f42d", "rabbit": "1f430", "fox": "1f98a", "bear": "1f43b",
    "panda": "1f43c", "koala": "1f428", "tiger": "1f42f", "lion": "1f981", "cow": "1f42e", "pig": "1f437",
    "frog": "1f438", "monkey": "1f435", "chick": "1f424", "penguin": "1f427", "owl": "1f989", "duck": "1f986",
    "flamingo": "1f9a9", "parrot": "1f99c", "turtle": "1f422", "snake": "1f40d", "crocodile": "1f40a",
    "whale": "1f433", "dolphin": "1f42c", "shark": "1f988", "octopus": "1f419", "crab": "1f980",
    "tropical fish": "1f420", "snail": "1f40c", "butterfly": "1f98b", "bee": "1f41d", "ladybug": "1f41e",
    "elephant": "1f418", "giraffe": "1f992", "zebra": "1f993", "camel": "1f42a", "unicorn": "1f984",
    "hedgehog": "1f994", "sheep": "1f411",
    # Plants and nature.
    "cactus": "1f335", "palm tree": "1f334", "pine tree": "1f332", "tree": "1f333", "sunflower": "1f33b",
    "tulip": "1f337", "rose": "1f339", "four leaf clover": "1f340", "maple leaf": "1f341", "sun": "1f31e",
    "star": "2b50", "cloud": "2601-fe0f", "rainbow": "1f308", "snowman": "26c4", "fire": "1f525",
    "volcano": "1f30b", "planet": "1fa90",
    # Vehicles and buildings.
    "car": "1f697", "taxi": "1f695", "bus": "1f68c", "fire engine": "1f692", "police car": "1f693",
    "tractor": "1f69c", "bicycle": "1f6b2", "motor scooter": "1f6f5", "train": "1f682", "airplane": "2708-fe0f",
    "helicopter": "1f681", "rocket": "1f680", "flying saucer": "1f6f8", "sailboat": "26f5", "house": "1f3e0",
    "castle": "1f3f0", "tent": "26fa",
    # Objects.
    "umbrella": "2602-fe0f", "balloon": "1f388", "gift": "1f381", "teddy bear": "1f9f8", "guitar": "1f3b8",
    "trumpet": "1f3ba", "drum": "1f941", "violin": "1f3bb", "camera": "1f4f7", "television": "1f4fa",
    "alarm clock": "23f0", "light bulb": "1f4a1", "key": "1f511", "padlock": "1f512", "hammer": "1f528",
    "scissors": "2702-fe0f", "crown": "1f451", "top hat": "1f3a9", "backpack": "1f392", "running shoe": "1f45f",
    "soccer ball": "26bd", "basketball": "1f3c0", "trophy": "1f3c6", "bell": "1f514", "anchor": "2693",
    "candle": "1f56f-fe0f", "chair": "1fa91", "teapot": "1fad6", "telescope": "1f52d", "robot": "1f916",
    "red heart": "2764-fe0f", "gem": "1f48e", "globe": "1f30d", "magnet": "1f9f2",
    # Faces.
    "smiling face": "1f60a", "face with sunglasses": "1f60e", "clown face": "1f921", "alien": "1f47d",
    "ghost": "1f47b", "jack-o-lantern": "1f383",
}  # fmt: skip

PLURAL_NAMES = frozenset({"scissors"})
"""Names that take no article."""
