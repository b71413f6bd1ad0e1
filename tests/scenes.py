"""The one maker of pictures for tests/fixtures/: a name in, a picture and what is true of it out.

A scene is a record of coloured things on a grid of 3 rows and 4 columns; pictures, boxes, captions and questions are
all made from the record, so that a person can check a row by looking and a test by computing. Every choice is drawn
from a hash of the name: same name, same record everywhere, and the same bytes for the same Pillow (and av, for clips).

    street = scene("street", num_things=3)
    jpeg(street), caption(street), question(street, "colour")
"""

import gzip
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from itertools import permutations
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

INK, PALE, PAPER = (88, 88, 88), (222, 222, 222), (252, 252, 250)  # greys: no part of a thing has the name of a colour
GROUNDS = {"grey": (200, 205, 210), "beige": (240, 226, 200)}
ROWS = ("at the top", "in the middle", "at the bottom")
COLUMNS = ("far left", "left of centre", "right of centre", "far right")
SIGNS = ("OPEN", "STOP", "CAFE", "EXIT", "BOOKS", "TAXI", "HOTEL", "BAKERY", "No 42", "PARK", "MUSEUM", "SALE 50%")

# What each kind is drawn of, on a square of 100 x 100: fill, tool, (width,) numbers. "main" is the thing's own colour.
DRAWINGS = {
    "circle": ["main ellipse 6 6 94 94"],
    "square": ["main rectangle 10 10 90 90"],
    "triangle": ["main polygon 50 6 96 92 4 92"],
    "star": ["main polygon 50 3 61 38 98 38 68 60 79 96 50 74 21 96 32 60 2 38 39 38"],
    "heart": ["main ellipse 5 10 53 58", "main ellipse 47 10 95 58", "main polygon 11 49 50 30 89 49 50 95"],
    "house": [
        "main rectangle 16 46 84 94",
        "main polygon 4 50 50 8 96 50",
        "ink line 3 16 50 84 50",
        "pale rectangle 43 64 59 94",
        "pale rectangle 23 60 36 73",
        "pale rectangle 66 60 79 73",
    ],
    "tree": [
        "ink rectangle 43 60 57 97",
        "main ellipse 6 32 56 76",
        "main ellipse 44 32 94 76",
        "main ellipse 22 3 78 62",
    ],
    "car": [
        "main rectangle 3 48 97 76",
        "main polygon 20 50 34 26 70 26 86 50",
        "pale polygon 30 48 38 32 50 32 50 48",
        "pale polygon 55 48 55 32 67 32 77 48",
        "ink ellipse 14 62 40 88",
        "ink ellipse 62 62 88 88",
        "pale ellipse 22 70 32 80",
        "pale ellipse 70 70 80 80",
    ],
    "fish": [
        "main ellipse 3 24 76 76",
        "main polygon 64 50 97 22 97 78",
        "pale ellipse 16 36 30 50",
        "ink ellipse 20 40 27 47",
        "ink line 3 40 34 46 50 40 66",
    ],
    "cup": [
        "main arc 9 52 34 94 76 -100 100",
        "main rectangle 14 22 68 78",
        "main ellipse 14 66 68 94",
        "pale ellipse 14 12 68 32",
    ],
    "flower": [
        "ink line 5 50 50 50 98",
        "ink polygon 50 88 70 68 80 76",
        "main ellipse 36 2 64 30",
        "main ellipse 36 42 64 70",
        "main ellipse 16 13 44 41",
        "main ellipse 56 13 84 41",
        "main ellipse 16 33 44 61",
        "main ellipse 56 33 84 61",
        "pale ellipse 38 24 62 48",
    ],
    "boat": [
        "main polygon 4 66 96 66 80 94 20 94",
        "ink line 4 48 6 48 66",
        "main polygon 54 10 92 60 54 60",
        "main polygon 42 18 42 60 12 60",
    ],
    "sun": [
        "main ellipse 26 26 74 74",
        "main line 6 50 3 50 20",
        "main line 6 50 80 50 97",
        "main line 6 3 50 20 50",
        "main line 6 80 50 97 50",
        "main line 6 17 17 29 29",
        "main line 6 71 71 83 83",
        "main line 6 17 83 29 71",
        "main line 6 71 29 83 17",
    ],
    "robot": [
        "ink line 4 50 14 50 3",
        "main rectangle 32 12 68 38",
        "pale ellipse 38 18 48 28",
        "pale ellipse 52 18 62 28",
        "main rectangle 26 42 74 74",
        "main line 8 8 74 18 46 30 46",
        "main line 8 92 74 82 46 70 46",
        "main rectangle 30 72 44 97",
        "main rectangle 56 72 70 97",
        "pale rectangle 38 50 62 62",
    ],
    "dog": [
        "main rectangle 20 44 74 68",
        "main rectangle 20 60 30 94",
        "main rectangle 62 60 72 94",
        "main line 8 22 48 6 26",
        "main rectangle 60 16 82 52",
        "main rectangle 76 30 97 46",
        "ink polygon 58 14 68 14 64 42 54 36",
        "pale ellipse 73 21 81 29",
        "ink rectangle 91 28 98 35",
    ],
    "umbrella": [
        "ink line 5 50 40 50 84",
        "ink arc 5 50 76 68 96 0 180",
        "main pieslice 3 8 97 104 180 360",
        "ink line 2 50 8 34 56",
        "ink line 2 50 8 66 56",
    ],
    "chair": [
        "main polygon 12 4 24 2 36 54 22 54",
        "main rectangle 22 48 84 60",
        "main rectangle 26 56 35 97",
        "main rectangle 72 56 81 97",
        "ink line 4 35 80 72 80",
    ],
    "bottle": [
        "main rectangle 40 8 60 36",
        "main polygon 40 26 60 26 74 46 26 46",
        "main rectangle 26 44 74 96",
        "pale rectangle 33 58 67 80",
        "ink rectangle 37 3 63 13",
    ],
    "balloon": ["ink line 3 50 76 44 84 54 90 50 98", "main polygon 42 80 58 80 50 66", "main ellipse 20 3 80 74"],
}
KINDS, SHAPES = tuple(DRAWINGS), tuple(DRAWINGS)[:5]
OBJECTS = KINDS[5:]

LANGUAGES = ("en", "zh", "ja", "de", "fr", "es", "ar")
# The words of the seven languages in this order. ja: the noun, the form before a noun; fr, es, ar: masculine, feminine.
COLOURS = {
    "red": ((220, 30, 36), "red|红色|赤 赤い|rot|rouge rouge|rojo roja|أحمر حمراء"),
    "green": ((20, 140, 50), "green|绿色|緑 緑の|grün|vert verte|verde verde|أخضر خضراء"),
    "blue": ((30, 70, 220), "blue|蓝色|青 青い|blau|bleu bleue|azul azul|أزرق زرقاء"),
    "yellow": ((250, 220, 10), "yellow|黄色|黄色 黄色い|gelb|jaune jaune|amarillo amarilla|أصفر صفراء"),
    "purple": ((125, 30, 160), "purple|紫色|紫 紫の|violett|violet violette|morado morada|بنفسجي بنفسجية"),
    "orange": (
        (255, 130, 0),
        "orange|橙色|オレンジ色 オレンジ色の|orangefarben|orange orange|naranja naranja|برتقالي برتقالية",
    ),
    "black": ((0, 0, 0), "black|黑色|黒 黒い|schwarz|noir noire|negro negra|أسود سوداء"),
    "white": ((255, 255, 255), "white|白色|白 白い|weiß|blanc blanche|blanco blanca|أبيض بيضاء"),
    "brown": ((120, 70, 25), "brown|棕色|茶色 茶色の|braun|marron marron|marrón marrón|بني بنية"),
    "pink": ((255, 150, 200), "pink|粉色|ピンク ピンクの|rosafarben|rose rose|rosa rosa|وردي وردية"),
}
# zh: measure word, noun; ja: noun; the others: gender (en: none), noun, plural (ar: as it stands after the article).
NOUNS = {
    "circle": "- circle circles|个 圆形|- 丸|m Kreis Kreise|m cercle cercles|m círculo círculos|f دائرة دوائر",
    "square": "- square squares|个 正方形|- 正方形|n Quadrat Quadrate|m carré carrés|m cuadrado cuadrados|m مربع مربعات",
    "triangle": "- triangle triangles|个 三角形|- 三角形|n Dreieck Dreiecke|m triangle triangles|m triángulo triángulos|"
    "m مثلث مثلثات",
    "star": "- star stars|颗 星星|- 星|m Stern Sterne|f étoile étoiles|f estrella estrellas|f نجمة نجوم",
    "heart": "- heart hearts|颗 爱心|- ハート|n Herz Herzen|m cœur cœurs|m corazón corazones|m قلب قلوب",
    "house": "- house houses|座 房子|- 家|n Haus Häuser|f maison maisons|f casa casas|m منزل منازل",
    "tree": "- tree trees|棵 树|- 木|m Baum Bäume|m arbre arbres|m árbol árboles|f شجرة أشجار",
    "car": "- car cars|辆 汽车|- 車|n Auto Autos|f voiture voitures|m coche coches|f سيارة سيارات",
    "fish": "- fish fish|条 鱼|- 魚|m Fisch Fische|m poisson poissons|m pez peces|f سمكة أسماك",
    "cup": "- cup cups|个 杯子|- カップ|f Tasse Tassen|f tasse tasses|f taza tazas|m كوب أكواب",
    "flower": "- flower flowers|朵 花|- 花|f Blume Blumen|f fleur fleurs|f flor flores|f زهرة زهور",
    "boat": "- boat boats|艘 船|- 船|n Boot Boote|m bateau bateaux|m barco barcos|m قارب قوارب",
    "sun": "- sun suns|个 太阳|- 太陽|f Sonne Sonnen|m soleil soleils|m sol soles|f شمس شموس",
    "robot": "- robot robots|个 机器人|- ロボット|m Roboter Roboter|m robot robots|m robot robots|m روبوت روبوتات",
    "dog": "- dog dogs|只 狗|- 犬|m Hund Hunde|m chien chiens|m perro perros|m كلب كلاب",
    "umbrella": "- umbrella umbrellas|把 雨伞|- 傘|m Regenschirm Regenschirme|m parapluie parapluies|m paraguas paraguas|"
    "f مظلة مظلات",
    "chair": "- chair chairs|把 椅子|- 椅子|m Stuhl Stühle|f chaise chaises|f silla sillas|m كرسي كراسي",
    "bottle": "- bottle bottles|个 瓶子|- 瓶|f Flasche Flaschen|f bouteille bouteilles|f botella botellas|f زجاجة زجاجات",
    "balloon": "- balloon balloons|个 气球|- 風船|m Luftballon Luftballons|m ballon ballons|m globo globos|m بالون بالونات",
}
COLOURS = {name: (rgb, dict(zip(LANGUAGES, row.split("|")))) for name, (rgb, row) in COLOURS.items()}
NOUNS = {kind: dict(zip(LANGUAGES, row.split("|"))) for kind, row in NOUNS.items()}
# {list} is "a red car and a blue tree", {List} the same with a capital; every frame is true of every scene.
CAPTIONS = {
    "en": (
        "{List}.",
        "A picture of {list}.",
        "This drawing shows {list}.",
        "You can see {list} here.",
        "A simple drawing with {list}.",
    ),
    "zh": (
        "图中有{list}。",
        "画面上可以看到{list}。",
        "这幅画里画着{list}。",
        "一张画有{list}的图片。",
        "这里有{list}。",
    ),
    "ja": (
        "{list}があります。",
        "{list}の絵です。",
        "この絵には{list}が描かれています。",
        "ここに{list}が見えます。",
        "{list}を描いた絵。",
    ),
    "de": (
        "{List}.",
        "Zu sehen: {list}.",
        "Auf dem Bild: {list}.",
        "Eine Zeichnung: {list}.",
        "Hier gezeichnet: {list}.",
    ),
    "fr": ("{List}.", "On voit {list}.", "Ce dessin montre {list}.", "Il y a {list} sur l'image.", "Voici {list}."),
    "es": (
        "{List}.",
        "Aquí hay {list}.",
        "El dibujo muestra {list}.",
        "En la imagen hay {list}.",
        "Aquí se puede ver {list}.",
    ),
    "ar": ("{list}.", "في الصورة {list}.", "صورة فيها {list}.", "هذا رسم فيه {list}.", "هنا {list}."),
}
JOINS = {
    "en": (", ", " and "),
    "zh": ("、", "和"),
    "ja": ("と", "と"),
    "de": (", ", " und "),
    "fr": (", ", " et "),
    "es": (", ", " y "),
    "ar": (" و", " و"),
}
SIGN_WORDS = {
    "en": 'a sign that says "{}"',
    "zh": "一块写着“{}”的牌子",
    "ja": "「{}」と書かれた看板",
    "de": "ein Schild mit der Aufschrift „{}“",
    "fr": "un panneau où est écrit « {} »",
    "es": "un cartel que dice «{}»",
    "ar": 'لافتة مكتوب عليها "{}"',
}
FLAG_WORDS = {
    "en": "a flag",
    "zh": "一面旗帜",
    "ja": "旗",
    "de": "eine Flagge",
    "fr": "un drapeau",
    "es": "una bandera",
    "ar": "علم",
}
QUESTIONS = {
    "en": {
        "colour": "What colour is {the}?",
        "what": "Which thing is {red}?",
        "count": "How many {plural} are there?",
        "where": "Is {the_red} to the left or to the right {of_other}?",
        "yesno": "Is {the} {red}?",
        "exist": "Is there {a_red}?",
        "sign": "What does the sign say?",
    },
    "zh": {
        "colour": "{the}是什么颜色的？",
        "what": "哪个东西是{red}的？",
        "count": "图中有多少{measure}{noun}？",
        "where": "{the_red}在{of_other}的左边还是右边？",
        "yesno": "{the}是{red}的吗？",
        "exist": "图中有{the_red}吗？",
        "sign": "牌子上写着什么？",
    },
    "ja": {
        "colour": "{the}は何色ですか？",
        "what": "{red_thing}ものは何ですか？",
        "count": "絵の中の{noun}の数はいくつですか？",
        "where": "{the_red}は{of_other}の左側ですか、右側ですか？",
        "yesno": "{the}の色は{red}ですか？",
        "exist": "{the_red}は描かれていますか？",
        "sign": "看板には何と書いてありますか？",
    },
    "de": {
        "colour": "Welche Farbe hat {the}?",
        "what": "Was ist {red}?",
        "count": "Wie viele {plural} sind zu sehen?",
        "where": "Ist {the_red} links oder rechts {of_other}?",
        "yesno": "Ist {the} {red}?",
        "exist": "Ist {a_red} zu sehen?",
        "sign": "Was steht auf dem Schild?",
    },
    "fr": {
        "colour": "De quelle couleur est {the} ?",
        "what": "Qu'est-ce qui est {red_thing} ?",
        "count": "Combien y a-t-il {plural} ?",
        "where": "Est-ce que {the_red} est à gauche ou à droite {of_other} ?",
        "yesno": "Est-ce que {the} est {red} ?",
        "exist": "Y a-t-il {a_red} ?",
        "sign": "Qu'est-ce qui est écrit sur le panneau ?",
    },
    "es": {
        "colour": "¿De qué color es {the}?",
        "what": "¿Qué objeto es {red_thing}?",
        "count": "¿{how_many} {plural} hay?",
        "where": "¿Está {the_red} a la izquierda o a la derecha {of_other}?",
        "yesno": "¿Es {red} {the}?",
        "exist": "¿Hay {a_red}?",
        "sign": "¿Qué dice el cartel?",
    },
    "ar": {
        "colour": "ما لون {the}؟",
        "what": "ما الشيء ال{red_thing}؟",
        "count": "كم عدد ال{plural} في الصورة؟",
        "where": "هل {the_red} على يسار {of_other} أم على اليمين؟",
        "yesno": "هل {the} {red}؟",
        "exist": "هل في الصورة {a_red}؟",
        "sign": "ماذا كُتب على اللافتة؟",
    },
}
ANSWERS = {  # yes, no, left, right
    "en": ("yes", "no", "left", "right"),
    "zh": ("是", "不是", "左边", "右边"),
    "ja": ("はい", "いいえ", "左側", "右側"),
    "de": ("ja", "nein", "links", "rechts"),
    "fr": ("oui", "non", "gauche", "droite"),
    "es": ("sí", "no", "izquierda", "derecha"),
    "ar": ("نعم", "لا", "يسار", "يمين"),
}
EXIST_ANSWERS = {"zh": ("有", "没有")}  # where "is there" is not answered with yes and no
MOTIONS = {  # what the one thing of a clip does, in words; then, for the four directions, where to
    "left to right": {
        "en": "{A} moves to the right.|to the right",
        "zh": "{a}向右移动。|向右",
        "ja": "{a}が右へ動きます。|右",
        "de": "{A} bewegt sich nach rechts.|nach rechts",
        "fr": "{A} se déplace vers la droite.|vers la droite",
        "es": "{A} se mueve hacia la derecha.|hacia la derecha",
        "ar": "حركة {a} إلى اليمين.|إلى اليمين",
    },
    "right to left": {
        "en": "{A} moves to the left.|to the left",
        "zh": "{a}向左移动。|向左",
        "ja": "{a}が左へ動きます。|左",
        "de": "{A} bewegt sich nach links.|nach links",
        "fr": "{A} se déplace vers la gauche.|vers la gauche",
        "es": "{A} se mueve hacia la izquierda.|hacia la izquierda",
        "ar": "حركة {a} إلى اليسار.|إلى اليسار",
    },
    "up": {
        "en": "{A} moves up.|up",
        "zh": "{a}向上移动。|向上",
        "ja": "{a}が上へ動きます。|上",
        "de": "{A} bewegt sich nach oben.|nach oben",
        "fr": "{A} se déplace vers le haut.|vers le haut",
        "es": "{A} se mueve hacia arriba.|hacia arriba",
        "ar": "حركة {a} إلى الأعلى.|إلى الأعلى",
    },
    "down": {
        "en": "{A} moves down.|down",
        "zh": "{a}向下移动。|向下",
        "ja": "{a}が下へ動きます。|下",
        "de": "{A} bewegt sich nach unten.|nach unten",
        "fr": "{A} se déplace vers le bas.|vers le bas",
        "es": "{A} se mueve hacia abajo.|hacia abajo",
        "ar": "حركة {a} إلى الأسفل.|إلى الأسفل",
    },
    "appears": {
        "en": "{A} appears.|",
        "zh": "{a}出现了。|",
        "ja": "{a}が現れます。|",
        "de": "{A} erscheint.|",
        "fr": "{A} apparaît.|",
        "es": "{A} aparece.|",
        "ar": "ظهور {a}.|",
    },
    "grows": {
        "en": "{A} grows bigger.|",
        "zh": "{a}变大了。|",
        "ja": "{a}が大きくなります。|",
        "de": "{A} wird größer.|",
        "fr": "{A} grandit.|",
        "es": "{A} se hace más grande.|",
        "ar": "ازدياد حجم {a}.|",
    },
}
CLIP_QUESTIONS = {
    "en": ("What is seen in the video?", "Which way does {the} move?"),
    "zh": ("视频里有什么？", "{the}向哪个方向移动？"),
    "ja": ("動画に何が映っていますか？", "{the}はどちらへ動きますか？"),
    "de": ("Was ist im Video zu sehen?", "Wohin bewegt sich {the}?"),
    "fr": ("Que voit-on dans la vidéo ?", "Dans quelle direction se déplace {the} ?"),
    "es": ("¿Qué se ve en el vídeo?", "¿Hacia dónde se mueve {the}?"),
    "ar": ("ماذا يوجد في الفيديو؟", "ما اتجاه حركة {the}؟"),
}
# country: flag, internet domain, continent, capital in the order of LANGUAGES. No flag that two countries share.
FLAGS = {
    "France": ("vertical blue white red", ".fr", "Europe", "Paris 巴黎 パリ Paris Paris París باريس"),
    "Japan": ("disc white red", ".jp", "Asia", "Tokyo 东京 東京 Tokio Tokyo Tokio طوكيو"),
    "Nigeria": ("vertical green white green", ".ng", "Africa", "Abuja 阿布贾 アブジャ Abuja Abuja Abuya أبوجا"),
    "Peru": ("vertical red white red", ".pe", "South America", "Lima 利马 リマ Lima Lima Lima ليما"),
    "Germany": ("horizontal black red yellow", ".de", "Europe", "Berlin 柏林 ベルリン Berlin Berlin Berlín برلين"),
    "Italy": ("vertical green white red", ".it", "Europe", "Rome 罗马 ローマ Rom Rome Roma روما"),
    "Thailand": (
        "horizontal red white blue blue white red",
        ".th",
        "Asia",
        "Bangkok 曼谷 バンコク Bangkok Bangkok Bangkok بانكوك",
    ),
    "Colombia": (
        "horizontal yellow yellow blue red",
        ".co",
        "South America",
        "Bogotá 波哥大 ボゴタ Bogotá Bogota Bogotá بوغوتا",
    ),
    "Sweden": (
        "cross blue yellow",
        ".se",
        "Europe",
        "Stockholm 斯德哥尔摩 ストックホルム Stockholm Stockholm Estocolmo ستوكهولم",
    ),
    "Mali": ("vertical green yellow red", ".ml", "Africa", "Bamako 巴马科 バマコ Bamako Bamako Bamako باماكو"),
    "Poland": ("horizontal white red", ".pl", "Europe", "Warsaw 华沙 ワルシャワ Warschau Varsovie Varsovia وارسو"),
    "Ukraine": ("horizontal blue yellow", ".ua", "Europe", "Kyiv 基辅 キーウ Kiew Kiev Kiev كييف"),
    "Bangladesh": ("disc green red", ".bd", "Asia", "Dhaka 达卡 ダッカ Dhaka Dacca Daca دكا"),
    "Ireland": ("vertical green white orange", ".ie", "Europe", "Dublin 都柏林 ダブリン Dublin Dublin Dublín دبلن"),
    "Belgium": (
        "vertical black yellow red",
        ".be",
        "Europe",
        "Brussels 布鲁塞尔 ブリュッセル Brüssel Bruxelles Bruselas بروكسل",
    ),
    "Denmark": (
        "cross red white",
        ".dk",
        "Europe",
        "Copenhagen 哥本哈根 コペンハーゲン Kopenhagen Copenhague Copenhague كوبنهاغن",
    ),
    "Austria": ("horizontal red white red", ".at", "Europe", "Vienna 维也纳 ウィーン Wien Vienne Viena فيينا"),
    "Netherlands": (
        "horizontal red white blue",
        ".nl",
        "Europe",
        "Amsterdam 阿姆斯特丹 アムステルダム Amsterdam Amsterdam Ámsterdam أمستردام",
    ),
    "Switzerland": ("plus red white", ".ch", "Europe", "Bern 伯尔尼 ベルン Bern Berne Berna برن"),
}
CONTINENTS = {
    "Europe": "Europe|欧洲|ヨーロッパ|Europa|Europe|Europa|أوروبا",
    "Asia": "Asia|亚洲|アジア|Asien|Asie|Asia|آسيا",
    "Africa": "Africa|非洲|アフリカ|Afrika|Afrique|África|أفريقيا",
    "South America": "South America|南美洲|南アメリカ|Südamerika|Amérique du Sud|América del Sur|أمريكا الجنوبية",
}
KNOWLEDGE_QUESTIONS = {
    "capital": (
        "What is the capital of the country with this flag?",
        "使用这面国旗的国家的首都是哪里？",
        "この国旗の国の首都はどこですか？",
        "Wie heißt die Hauptstadt des Landes mit dieser Flagge?",
        "Quelle est la capitale du pays qui a ce drapeau ?",
        "¿Cuál es la capital del país que tiene esta bandera?",
        "ما عاصمة الدولة صاحبة هذا العلم؟",
    ),
    "continent": (
        "On which continent is the country with this flag?",
        "使用这面国旗的国家位于哪个洲？",
        "この国旗の国はどの大陸にありますか？",
        "Auf welchem Kontinent liegt das Land mit dieser Flagge?",
        "Sur quel continent se trouve le pays qui a ce drapeau ?",
        "¿En qué continente está el país que tiene esta bandera?",
        "في أي قارة تقع الدولة صاحبة هذا العلم؟",
    ),
    "domain": (
        "Which internet domain belongs to the country with this flag?",
        "使用这面国旗的国家的互联网域名后缀是什么？",
        "この国旗の国のインターネットドメインは何ですか？",
        "Welche Internet-Endung hat das Land mit dieser Flagge?",
        "Quelle est l'extension internet du pays qui a ce drapeau ?",
        "¿Cuál es el dominio de internet del país que tiene esta bandera?",
        "ما نطاق الإنترنت للدولة صاحبة هذا العلم؟",
    ),
}


@dataclass(frozen=True)
class Thing:
    kind: str
    colour: str
    row: int = 1
    column: int = 1
    big: bool = True


@dataclass(frozen=True)
class Scene:
    """What a picture shows: things, perhaps a sign with Latin text at the foot, perhaps the flag of a country alone."""

    name: str
    things: tuple[Thing, ...]
    ground: str = "grey"
    sign: str | None = None
    flag: str | None = None


@dataclass(frozen=True)
class Question:
    question: str
    answer: str
    options: tuple[str, ...]  # the answer among them, the others wrong; the same order in every language


@dataclass(frozen=True)
class Knowledge:
    scene: Scene
    question: str
    answer: str
    wrong_answers: tuple[str, ...]
    entity: str


@dataclass(frozen=True)
class Clip:
    """What a video shows: the one thing of the scene, which does `motion`; `num_frames` at `fps` frames a second."""

    scene: Scene
    motion: str
    num_frames: int
    fps: int


# ---- records ----


def shuffled(options, *names):
    """The options in an order drawn from the names."""
    options = list(options)
    key = [blake2b(repr((*names, i)).encode("utf-8"), digest_size=8).digest() for i in range(len(options))]
    return [options[i] for i in sorted(range(len(options)), key=key.__getitem__)]


def scene(name, num_things=None, kinds=None, sign=None):
    """The scene of this name; 2 to 5 things if not told, of any `kinds` (SHAPES, OBJECTS, ...); sign=True draws a word.

    Kinds and colours differ from thing to thing, except that the last thing may repeat one of each, so that questions
    of every sort have an answer.
    """
    num_things = num_things or shuffled((2, 3, 4, 5), name, "num_things")[0]
    if num_things > 8:
        raise ValueError(f"scene {name!r}: at most 8 things can be told apart, not {num_things}; ask for fewer.")
    kinds = shuffled(kinds or KINDS, name, "kinds")
    colours = shuffled(COLOURS, name, "colours")
    kind_of = [kinds[i % len(kinds)] for i in range(num_things)]
    colour_of = colours[:num_things]
    if num_things > 2:
        repeat_kind, repeat_colour = shuffled(((1, 0), (0, 1), (1, 1), (0, 0)), name, "repeats")[0]
        kind_of[-1] = kind_of[0] if repeat_kind else kind_of[-1]
        colour_of[-1] = colour_of[1] if repeat_colour and kind_of[-1] != kind_of[1] else colour_of[-1]
    cells = shuffled([(row, column) for row in range(3) for column in range(4)], name, "cells")
    things = tuple(
        Thing(kind, colour, row, column, shuffled((True, True, False), name, "big", i)[0])
        for i, (kind, colour, (row, column)) in enumerate(zip(kind_of, colour_of, cells))
    )
    sign = shuffled(SIGNS, name, "sign")[0] if sign is True else sign
    return Scene(name, things, shuffled(GROUNDS, name, "ground")[0], sign)


# ---- pictures ----


@lru_cache(maxsize=512)
def sprite(kind, colour, side):
    """The thing alone on a transparent square, with a thin dark rim that keeps white and pale things visible."""
    scale = 4 * side / 106  # drawn four times as large, then averaged; 3 units of margin hold the rim
    image = Image.new("RGBA", (4 * side, 4 * side), (*INK, 0))
    pen = ImageDraw.Draw(image)
    fills = {"main": COLOURS[colour][0], "ink": INK, "pale": PALE}
    for stroke in DRAWINGS[kind]:
        fill, tool, *numbers = stroke.split()
        numbers = [float(n) for n in numbers]
        fill = (*fills[fill], 255)
        width = round(numbers.pop(0) * scale) if tool in ("line", "arc") else 0
        angles = [numbers.pop(), numbers.pop()][::-1] if tool in ("arc", "pieslice") else []
        points = [(n + 3) * scale for n in numbers]
        if tool == "line":
            pen.line(points, fill, width, joint="curve")
        elif tool == "arc":
            pen.arc(points, *angles, fill, width)
        elif tool == "pieslice":
            pen.pieslice(points, *angles, fill)
        else:
            getattr(pen, tool)(points, fill)
    rim = Image.new("RGBA", image.size, (*INK, 0))
    rim.putalpha(image.getchannel("A").filter(ImageFilter.MaxFilter(5)))
    return Image.alpha_composite(rim, image).reduce(4)


def place(scene, thing, width, height):
    """(left, top, side) of the square in which the thing is drawn."""
    cell_width, cell_height = width / 4, (height * 0.8 if scene.sign else height) / 3
    side = round(min(cell_width, cell_height) * (0.98 if thing.big else 0.7))
    left, top = (thing.column + 0.5) * cell_width - side / 2, (thing.row + 0.5) * cell_height - side / 2
    return (round(left), round(top), side)


def box(scene, thing, width=240, height=180):
    """(left, top, right, bottom) in pixels, as tight as can be, right and bottom exclusive."""
    left, top, side = place(scene, thing, width, height)
    x0, y0, x1, y1 = sprite(thing.kind, thing.colour, side).getbbox()
    return (left + x0, top + y0, left + x1, top + y1)


def sign_box(scene, width=240, height=180):
    """(left, top, right, bottom) in pixels of the board that carries the sign."""
    return (round(width * 0.15), round(height * 0.81), round(width * 0.85), height - 2)


def flag_box(scene, width=240, height=180):
    """(left, top, right, bottom) in pixels of the cloth of the flag: 3 by 2, the Swiss one square."""
    high = round(height * 0.56)
    wide = high if scene.flag == "Switzerland" else round(high * 1.5)
    left, top = round(width / 2 - wide / 2), round(height * 0.08)
    return (left, top, left + wide, top + high)


def draw(scene, width=240, height=180, mode="RGB"):
    """The picture of the scene. RGBA has no ground: black, all transparent; P, L, CMYK are converted from RGB."""
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0) if mode == "RGBA" else (*GROUNDS[scene.ground], 255))
    pen = ImageDraw.Draw(image)
    for thing in scene.things:
        left, top, side = place(scene, thing, width, height)
        image.alpha_composite(sprite(thing.kind, thing.colour, side), (left, top))
    if scene.sign:
        board = sign_box(scene, width, height)
        pen.rectangle((board[0], board[1], board[2] - 1, board[3] - 1), (*PAPER, 255), (*INK, 255), 2)
        write_centred(pen, board, scene.sign)
    if scene.flag:
        draw_flag(pen, FLAGS[scene.flag][0], flag_box(scene, width, height), height)
    return image if mode == "RGBA" else as_mode(image.convert("RGB"), mode)


def draw_flag(pen, design, cloth, height):
    """Draw the flag of the design on a pole: stripes are of equal width, so a double stripe is named twice."""
    left, top, right, bottom = cloth
    wide, high = right - left, bottom - top
    pen.rectangle((left - 6, top - 6, left - 1, height), (*INK, 255))
    pen.rectangle((left - 1, top - 1, right, bottom), (*INK, 255))
    pattern, *names = design.split()
    colours = [(*COLOURS[name][0], 255) for name in names]

    def patch(x0, y0, x1, y1, colour):
        pen.rectangle(
            (left + round(x0 * wide), top + round(y0 * high), left + round(x1 * wide) - 1, top + round(y1 * high) - 1),
            colour,
        )

    if pattern in ("vertical", "horizontal"):
        for i, colour in enumerate(colours):
            start, stop = i / len(colours), (i + 1) / len(colours)
            patch(*((start, 0, stop, 1) if pattern == "vertical" else (0, start, 1, stop)), colour)
        return
    patch(0, 0, 1, 1, colours[0])
    if pattern == "disc":
        radius = 0.3 * high
        middle = left + wide * (0.45 if names[0] == "green" else 0.5)  # the disc of Bangladesh is nearer to the pole
        pen.ellipse((middle - radius, top + high / 2 - radius, middle + radius, top + high / 2 + radius), colours[1])
    elif pattern == "cross":
        patch(0.32, 0, 0.44, 1, colours[1])
        patch(0, 0.41, 1, 0.59, colours[1])
    else:
        patch(0.41, 0.2, 0.59, 0.8, colours[1])
        patch(0.2, 0.41, 0.8, 0.59, colours[1])


def write_centred(pen, board, text, fill=(0, 0, 0)):
    """Write one line in the middle of the board, as large as fits."""
    size = (board[3] - board[1]) * 0.8
    while pen.textlength(text, ImageFont.load_default(size)) > (board[2] - board[0]) * 0.92:
        size *= 0.95
    middle = ((board[0] + board[2]) / 2, (board[1] + board[3]) / 2)
    pen.text(middle, text, fill, ImageFont.load_default(size), anchor="mm")


def as_mode(image, mode):
    """The image in this mode; P gets a palette of the picture's own colours."""
    return image.quantize(64) if mode == "P" else image.convert(mode)


def jpeg(picture, width=240, height=180, mode="RGB", exif_orientation=None, quality=85):
    """JPEG bytes of a scene or an image; with an orientation, pixels lie turned and a viewer must turn them back."""
    return encode(picture, width, height, "JPEG", mode, exif_orientation, quality=quality)


def png(picture, width=240, height=180, mode="RGB", exif_orientation=None):
    """PNG bytes of a scene or an image."""
    return encode(picture, width, height, "PNG", mode, exif_orientation)


def encode(picture, width, height, file_format, mode="RGB", exif_orientation=None, **options):
    """Bytes of a file of any format that Pillow writes ("GIF", "WEBP", ...)."""
    turn = Image.Transpose
    undo = {
        1: None,
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    image = draw(picture, width, height, mode) if isinstance(picture, Scene) else as_mode(picture, mode)
    if exif_orientation:
        exif = Image.Exif()
        exif[0x0112] = exif_orientation
        options["exif"] = exif
        image = image if exif_orientation == 1 else image.transpose(undo[exif_orientation])
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def blurred(image, level):
    """The image at quality loss 0 (as it is) to 4 (hardly to be recognised): each level doubles the blur."""
    return image.filter(ImageFilter.GaussianBlur((0, 1, 2, 4, 8)[level] * image.width / 240))


def wrap(line, font, width):
    """The line cut at spaces into lines that fit."""
    lines = [""]
    for word in line.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) <= width or not lines[-1] else [*lines, word]
    return lines


def page(lines, width=320, height=None, size=14):
    """A document page of these lines, the first one larger; ("Total", "12.50") is a key and its value on one line."""
    image = Image.new("RGB", (width, height or 16 + 3 * size * (len(lines) + 1)), PAPER)
    pen, top = ImageDraw.Draw(image), 14
    for i, line in enumerate(lines):
        font = ImageFont.load_default(size * 1.4 if i == 0 else size)
        if isinstance(line, str):
            for text in wrap(line, font, width - 28):
                pen.text((14, top), text, (20, 20, 20), font)
                top += round(font.size * 1.35)
        else:
            key, value = line
            pen.text((14, top), key, (20, 20, 20), font)
            pen.text((width - 14, top), value, (20, 20, 20), font, anchor="ra")
            top += round(font.size * 1.35)
            pen.line((14, top, width - 14, top), PALE)
        top += round(font.size * 0.35)
    if height is not None and top > height:
        raise ValueError(f"page of {len(lines)} lines needs {top} pixels, has {height}; leave height out.")
    return image if height else image.crop((0, 0, width, top + 8))


def cover(title, author, width=200, height=280):
    """The cover of a book: title above, author below, and an emblem in a colour drawn from the title."""
    colour = shuffled(("red", "green", "blue", "purple", "brown"), title, "colour")[0]
    image = Image.new("RGB", (width, height), COLOURS[colour][0])
    pen, top = ImageDraw.Draw(image), round(height * 0.1)
    font = ImageFont.load_default(width * 0.11)
    for text in wrap(title, font, width * 0.86):
        pen.text((width / 2, top), text, (255, 255, 255), font, anchor="ma")
        top += round(font.size * 1.3)
    emblem = sprite(shuffled(KINDS, title, "emblem")[0], "white", round(width * 0.4))
    image.paste(emblem, (round(width * 0.3), round(height * 0.5)), emblem)
    write_centred(pen, (0, round(height * 0.84), width, round(height * 0.92)), f"by {author}", (255, 255, 255))
    return image


# ---- words ----


def noun(kind, language="en"):
    """The name of a kind, as a label or an answer: car, 汽车, Auto, ..."""
    return NOUNS[kind][language].split()[1]


def colour_name(colour, language="en"):
    """The name of a colour, as an answer: red, 红色, rot, ..."""
    return COLOURS[colour][1][language].split()[0]


def adjective(colour, language, gender="m"):
    """The colour before or after a noun of this gender; German without its ending."""
    return COLOURS[colour][1][language].split()[-1 if gender == "f" or language == "ja" else 0]


def name_of(thing, language="en", form="a", coloured=True):
    """The thing in words. form: "a" (a red car), "the", "of" (of the red car, as after "to the left"), "" (red car)."""
    gender, word, *_ = NOUNS[thing.kind][language].split()
    tint = adjective(thing.colour, language, gender) if coloured else ""
    if language == "en":
        bare = f"{tint} {word}".strip()
        return {"a": "an " if bare[0] in "aeiou" else "a ", "the": "the ", "of": "of the ", "": ""}[form] + bare
    if language == "zh":
        return (f"一{gender}" if form == "a" else "") + (f"{tint}的" if tint else "") + word
    if language == "ja":
        return tint + word
    if language == "ar":
        article = "ال" if form in ("the", "of") else ""
        return f"{article}{word}" + (f" {article}{tint}" if tint else "")
    if language == "de":
        ending = {"the": "e", "of": "en"}.get(form) or {"m": "er", "f": "e", "n": "es"}[gender]
        article = {
            "a": {"m": "ein ", "f": "eine ", "n": "ein "},
            "the": {"m": "der ", "f": "die ", "n": "das "},
            "of": {"m": "vom ", "f": "von der ", "n": "vom "},
        }.get(form, {}).get(gender, "")
        return article + (f"{tint}{ending} " if tint else "") + word
    article = {
        "fr": {"a": ("un ", "une "), "the": ("le ", "la "), "of": ("du ", "de la ")},
        "es": {"a": ("un ", "una "), "the": ("el ", "la "), "of": ("del ", "de la ")},
    }[language].get(form, ("", ""))[gender == "f"]
    if language == "fr" and word[0] in "aé" and form in ("the", "of"):
        article = "l'" if form == "the" else "de l'"
    return f"{article}{word} {tint}".strip()


def listing(parts, language):
    """The parts joined as the language does: a, b and c."""
    comma, final = JOINS[language]
    return comma.join(parts[:-1]) + final + parts[-1] if len(parts) > 1 else parts[0]


def capital(text):
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def caption(scene, language="en", k=0):
    """The k-th true caption: 5 frames, then the same with the things in another order."""
    frames = CAPTIONS[language]
    things = scene.things and shuffled(scene.things, scene.name, "caption", k // len(frames))
    parts = [name_of(thing, language) for thing in things]
    parts += [SIGN_WORDS[language].format(scene.sign)] if scene.sign else []
    parts += [FLAG_WORDS[language]] if scene.flag else []
    words = listing(parts, language)
    return frames[k % len(frames)].format(list=words, List=capital(words))


def paragraph(scene):
    """Several English sentences: the ground, where each thing is and how big, what the sign says."""
    count = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")[len(scene.things)]
    sentences = [f"The picture shows {count} thing{'s' * (len(scene.things) != 1)} on a {scene.ground} background."]
    for thing in sorted(scene.things, key=lambda t: (t.row, t.column)):
        size = "big" if thing.big else "small"
        sentences.append(f"A {size} {thing.colour} {thing.kind} is {ROWS[thing.row]}, {COLUMNS[thing.column]}.")
    sentences += [f'A sign at the foot says "{scene.sign}".'] if scene.sign else []
    sentences += ["A flag flies on a pole."] if scene.flag else []
    return " ".join(sentences)


def question(scene, kind, language="en", k=0):
    """The k-th question of a kind (colour what count where yesno exist sign); ValueError where no answer would be sure.

    Every k has its question; from some k on they repeat. What is asked does not depend on the language.
    """
    facts = list(FACTS[kind](scene))
    if not facts:
        raise ValueError(f"scene {scene.name!r}: no {kind!r} question has one sure answer; take another name.")
    thing, other, answer, wrong = shuffled(facts, scene.name, kind)[k % len(facts)]
    options = shuffled([answer, *shuffled(wrong, scene.name, kind, k)[:3]], scene.name, kind, k, "options")
    slots = {}
    if thing:
        gender, word, *plural = NOUNS[thing.kind][language].split()
        of = ("d'" if word[0] in "aé" else "de ") if language == "fr" else ""
        colour = colour_name(thing.colour, language)
        slots = {
            "noun": word,
            "measure": gender,
            "plural": of + "".join(plural),
            "how_many": "Cuántas" if gender == "f" else "Cuántos",
            "the": name_of(thing, language, "the", coloured=False),
            "the_red": name_of(thing, language, "the"),
            "a_red": name_of(thing, language),
            "of_other": name_of(other, language, "of"),
            "red": colour if language == "ja" else adjective(thing.colour, language, gender),
            "red_thing": adjective(thing.colour, language),
        }
    text = QUESTIONS[language][kind].format(**slots)
    return Question(text, say(answer, kind, language), tuple(say(option, kind, language) for option in options))


def say(answer, kind, language):
    """An answer of FACTS in words."""
    if answer in COLOURS:
        return colour_name(answer, language)
    if answer in NOUNS:
        return noun(answer, language)
    if kind == "exist" and language in EXIST_ANSWERS:
        return EXIST_ANSWERS[language][answer == "no"]
    words = dict(zip(ANSWERS["en"], ANSWERS[language]))
    return words.get(answer, answer)


def alone(scene, attribute):
    """The things that share their kind, or colour, with no other."""
    values = [getattr(thing, attribute) for thing in scene.things]
    return [thing for thing in scene.things if values.count(getattr(thing, attribute)) == 1]


def others(options, *taken):
    return [option for option in options if option not in taken]


def yesno_facts(scene):
    """As many true as false ones: each thing in its own colour and in one that it has not."""
    for thing in alone(scene, "kind"):
        wrong = shuffled(others(COLOURS, thing.colour), scene.name, thing.kind)[0]
        yield thing, thing, "yes", ["no"]
        yield replace(thing, colour=wrong), thing, "no", ["yes"]


def exist_facts(scene):
    """As many true as false ones: each thing, and its kind in a colour which no thing of that kind has."""
    for thing in scene.things:
        taken = [t.colour for t in scene.things if t.kind == thing.kind]
        yield thing, thing, "yes", ["no"]
        yield replace(thing, colour=shuffled(others(COLOURS, *taken), scene.name, thing)[0]), thing, "no", ["yes"]


def count_facts(scene):
    """One for each kind."""
    for kind in dict.fromkeys(thing.kind for thing in scene.things):
        same = [thing for thing in scene.things if thing.kind == kind]
        yield same[0], same[0], str(len(same)), [str(n) for n in range(1, max(4, len(same)) + 1) if n != len(same)]


FACTS = {  # of a scene: (thing, other thing, answer, wrong answers) of every question whose answer is sure
    "colour": lambda scene: [(t, t, t.colour, others(COLOURS, t.colour)) for t in alone(scene, "kind")],
    "what": lambda scene: [(t, t, t.kind, others(KINDS, t.kind)) for t in alone(scene, "colour")],
    "count": count_facts,
    "where": lambda scene: [
        (a, b, *(("left", ["right"]) if a.column < b.column else ("right", ["left"])))
        for a, b in permutations(scene.things, 2)
        if a.column != b.column
    ],
    "yesno": yesno_facts,
    "exist": exist_facts,
    "sign": lambda scene: [(None, None, scene.sign, others(SIGNS, scene.sign))] if scene.sign else [],
}


def statement(scene, truth, k=0):
    """The k-th English sentence about the scene that is true, or false: what is there, how many, where."""
    sentences = []
    for thing, _, answer, _ in exist_facts(scene):
        sentences += [f"There is {name_of(thing)} in the picture."] if (answer == "yes") == truth else []
    for thing, _, answer, _ in count_facts(scene):
        for n, number in enumerate(("one", "two", "three"), 1):
            there = (
                f"There is exactly one {noun(thing.kind)}"
                if n == 1
                else f"There are exactly {number} {NOUNS[thing.kind]['en'].split()[2]}"
            )
            sentences += [f"{there} in the picture."] if (n == int(answer)) == truth else []
    for thing, other, answer, (wrong,) in FACTS["where"](scene):
        sentences.append(
            f"{capital(name_of(thing, form='the'))} is to the {answer if truth else wrong} {name_of(other, form='of')}."
        )
    return shuffled(sentences, scene.name, "statement", truth)[k % len(sentences)]


def knowledge(k, kind=None, language="en"):
    """The k-th picture of a flag (19, then again) with a question that needs more than the picture.

    kind: capital, continent, domain; if not told, capital for the first 19, then the others.
    """
    countries, kinds = list(FLAGS), list(KNOWLEDGE_QUESTIONS)
    country, kind = countries[k % len(countries)], kind or kinds[k // len(countries) % len(kinds)]
    column = LANGUAGES.index(language)

    def value(of):
        _, domain, continent, capitals = FLAGS[of]
        continent = CONTINENTS[continent].split("|")[column]
        return {"capital": capitals.split()[column], "continent": continent, "domain": domain}[kind]

    wrong = [w for w in dict.fromkeys(value(c) for c in shuffled(countries, "wrong", k)) if w != value(country)][:3]
    record = Scene(f"flag of {country}", (), "beige" if "white" in FLAGS[country][0] else "grey", flag=country)
    return Knowledge(record, KNOWLEDGE_QUESTIONS[kind][column], value(country), tuple(wrong), country)


# ---- clips ----


def clip(path, name, motion, seconds=2, fps=8, width=160, height=120, codec=None):
    """Write a video in which one thing does `motion` (a key of MOTIONS); returns the record.

    The suffix of the path chooses the codec: .mp4 H.264, .webm VP9, .avi and others MPEG-4.
    """
    import av

    if motion not in MOTIONS:
        raise ValueError(f"clip {name!r}: no motion {motion!r}; choose one of {', '.join(MOTIONS)}.")
    record = Clip(scene(name, num_things=1), motion, round(seconds * fps), fps)
    suffix = str(path).rsplit(".", 1)[-1]
    codec = codec or {"mp4": "libx264", "webm": "libvpx-vp9"}.get(suffix, "mpeg4")
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:  # else the time of writing gets in
        stream = container.add_stream(codec, rate=fps, options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 200_000
        stream.codec_context.flags |= av.codec.context.Flags.bitexact.value
        stream.codec_context.thread_count = 1
        for k in range(record.num_frames):
            picture = av.VideoFrame.from_image(frame(record, k, width, height))
            picture.pts, picture.time_base = k, Fraction(1, fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return record


def frame(clip, k, width=160, height=120):
    """The k-th picture of a clip, also for datasets that publish frames."""
    thing = clip.scene.things[0]
    image = Image.new("RGBA", (width, height), (*GROUNDS[clip.scene.ground], 255))
    done = k / max(1, clip.num_frames - 1)
    side = round(height * (0.2 + 0.6 * done if clip.motion == "grows" else 0.4))
    x, y = {
        "left to right": (done, 0.5),
        "right to left": (1 - done, 0.5),
        "up": (0.5, 1 - done),
        "down": (0.5, done),
    }.get(clip.motion, (0.5, 0.5))
    if clip.motion != "appears" or done >= 0.5:
        corner = (round(x * (width - side)), round(y * (height - side)))
        image.alpha_composite(sprite(thing.kind, thing.colour, side), corner)
    return image.convert("RGB")


def clip_caption(clip, language="en"):
    """One true sentence: A red car moves to the right."""
    a = name_of(clip.scene.things[0], language)
    return MOTIONS[clip.motion][language].split("|")[0].format(a=a, A=capital(a))


def clip_question(clip, kind, language="en"):
    """A question of kind what, colour or motion (the four directions only, else ValueError)."""
    thing, (what, which_way) = clip.scene.things[0], CLIP_QUESTIONS[language]
    if kind == "colour":
        return question(clip.scene, "colour", language)
    if kind == "what":
        return replace(question(clip.scene, "what", language), question=what)
    ways = [MOTIONS[motion][language].split("|")[1] for motion in shuffled(list(MOTIONS)[:4], clip.scene.name, "ways")]
    answer = MOTIONS[clip.motion][language].split("|")[1]
    if not answer:
        raise ValueError(f"clip {clip.scene.name!r}: {clip.motion!r} has no direction; ask what or colour.")
    return Question(which_way.format(the=name_of(thing, language, "the", coloured=False)), answer, tuple(ways))


# ---- archives


def write_tar(path, files):
    """The files, {name: bytes}, as a tar, gzipped where its name ends in gz: same files, same bytes every time."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=0) if path.name.endswith("gz") else packed.getvalue())


def write_coco_captions(root: Path, part: str, license_by_number: dict[int, int]) -> None:
    """annotations/captions_<part>.json of COCO, without captions: Flickr's number of each picture's license, its address."""
    kinds = {2: "by-nc", 3: "by-nc-nd", 4: "by", 5: "by-sa"}
    licenses = [{"url": f"http://creativecommons.org/licenses/{kind}/2.0/", "id": n} for n, kind in kinds.items()]
    images = [
        {
            "license": license,
            "file_name": f"COCO_{part}_{number:012d}.jpg",
            "flickr_url": f"http://farm8.staticflickr.com/7/{number}_4e622c8349_z.jpg",
            "id": number,
        }
        for number, license in license_by_number.items()
    ]
    (root / "annotations").mkdir(exist_ok=True)
    content = {"info": {}, "images": images, "licenses": licenses, "annotations": []}
    (root / "annotations" / f"captions_{part}.json").write_text(json.dumps(content), encoding="utf-8")


def write_zip(path, files):
    """The files, {name: bytes}, as a zip: same files, same bytes every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
