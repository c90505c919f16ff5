"""Prompts in living languages, most of them "a red apple": as people write them, in their own script."""

PHRASES = """
a red apple on a blue background
A photo of a cat, 4K, highly detailed
una manzana roja sobre la mesa
¿Dónde está el niño? ¡Aquí!
uma maçã vermelha e um coração
une pomme rouge à côté d'un œuf, ça va
Ein roter Apfel auf weißem Grund, Größe ÄÖÜ
STRASSE und Straße
en röd äpple på ett bord, Ångström
et rødt æble på øen
eitt reytt súrepli, Føroyar
rautt epli, Þingvellir, ðæö
punainen omena pöydällä
punane õun ja öö
sarkans ābols, ēģļņšž
raudonas obuolys, ąčęėįšųūž
czerwone jabłko, zażółć gęślą jaźń
červené jablko, příliš žluťoučký kůň
červené jablko, ľadvinka, ŕ ĺ ô
piros alma, árvíztűrő tükörfúrógép
un măr roșu, țară și înălțime
rdeče jabolko, čšž
crvena jabuka, đak, ljiljan, njegov
kırmızı bir elma, İstanbul'da ığdır
qırmızı alma, Əli, ğ
qizil olma, oʻzbek tili, gʻoz
një mollë e kuqe, ë ç
úll dearg, ÁÉÍÓÚ
afal coch, ŵy ŷd
una poma vermella, col·legi, l·l
sagar gorria eta ñabardura
tuffieħa ħamra, Għawdex, żebbuġ ċ
quả táo đỏ trên bàn, Nguyễn ễ ượ ặ
mansanas na pula, Ñ
apel merah di atas meja
tofaa jekundu
àpù pupa, ẹ̀kọ́ Yorùbá ṣ
ịdị uhie, Igbo ụ
tuffaa diimaa, Soomaali
jan tufa, ɓ ɗ ƙ ƴ Hausa
ŋkɔ ɖe ƒe Eʋegbe
iapula lahti, ʻŌlelo Hawaiʻi, āēīōū
he āporo whero, Māori
pom diha, Wolof ŋ ë ñ
ruĝa pomo, ĉiuĵaŭde, ŝ
okpụrụkpụ ǃXóõ ǂ ǁ ǀ
Diné bizaad, bilasáana łichíʼí, ąąʼ
ᎤᏬᏗᎨ ᎠᎩᎦᎨ ꭰꭱꭲ
ένα κόκκινο μήλο πάνω στο τραπέζι
Ο ΟΔΥΣΣΕΥΣ ΚΑΙ Ο ΣΙΣΥΦΟΣ
ἓν ἐρυθρὸν μῆλον, ᾧ ᾳ ῥ Ἀχιλλεύς
красное яблоко на столе
Съешь же ещё этих мягких французских булок, ЁЖ
червоне яблуко, їжак, ґанок, є
чырвоны яблык, ў, дз
червена ябълка, щъркел
црвено јабука, ђ љ њ ћ џ
црвено јаболко, ѓ ќ ѕ
қызыл алма, ә ғ ң ө ұ ү һ і
кызыл алма, ң ө ү
себи сурх, ӣ ӯ ҳ ҷ қ
улаан алим, өүө
ҡыҙыл алма, ҫ ҙ
кӏорни Ӏажӏи, аӀа
կարմիր խնձոր սեղանի վրա, և ՀԱՅԱՍՏԱՆ
წითელი ვაშლი მაგიდაზე
ᲬᲘᲗᲔᲚᲘ ᲕᲐᲨᲚᲘ
תפוח אדום על שולחן
שָׁלוֹם עֲלֵיכֶם, תַּפּוּחַ
אַ רויטער עפּל, ייִדיש ײַ ױ
تفاحة حمراء على الطاولة
اَلْعَرَبِيَّةُ، مُحَمَّدٌ؟
سیب قرمز روی میز، می‌خواهم
میز پر سرخ سیب، ٹ ڈ ڑ ے
سرخه مڼه، ښ ږ ځ څ
سێوی سوور، ڕ ڵ ۆ
قىزىل ئالما، ئۇيغۇرچە
ڳاڙهو صوف، ڄ ڃ ٻ ڀ
ܚܙܘܪܐ ܣܘܡܩܐ، ܫܠܳܡܳܐ
ރަތް އާފަލު، ދިވެހި
ߞߐ߬ߞߐ ߥߎߟߋ߲ߡߊ߲، ߒߞߏ
मेज पर एक लाल सेब, हिन्दी क्षत्रिय
लाल सफरचंद, मराठी ळ ऱ्य
रातो स्याउ, नेपाली
रक्तं सेवफलम्, संस्कृतम् ॐ ।
লাল আপেল, বাংলা ক্ষ ড় ঢ় য়
ৰঙা আপেল, অসমীয়া ৱ
ਲਾਲ ਸੇਬ, ਪੰਜਾਬੀ ਸ਼ ਖ਼
લાલ સફરજન, ગુજરાતી
ଲାଲ ସେଓ, ଓଡ଼ିଆ ୱ
சிவப்பு ஆப்பிள், தமிழ் கொ க்ஷ
ఎరుపు ఆపిల్, తెలుగు
ಕೆಂಪು ಸೇಬು, ಕನ್ನಡ ಕೊ ಕೋ
ചുവന്ന ആപ്പിൾ, മലയാളം ൺ ൻ ർ
රතු ඇපල්, සිංහල ක්‍ෂ
แอปเปิ้ลสีแดงบนโต๊ะ น้ำ
ແອັບເປີ້ນສີແດງ ນ້ຳ
ཀུ་ཤུ་དམར་པོ། བོད་སྐད་
ပန်းသီးနီ၊ မြန်မာဘာသာ။
ផ្លែប៉ោមក្រហម ភាសាខ្មែរ
ᠤᠯᠠᠭᠠᠨ ᠠᠯᠢᠮᠠ ᠮᠣᠩᠭᠣᠯ
ቀይ ፖም፣ አማርኛ።
빨간 사과와 파란 하늘, 한국어 꿟
赤いリンゴとカタカナ、ひらがな、ガギグゲゴ
紅蘋果在桌子上,繁體字
桌子上的红苹果，简体字。
ㄏㄨㄥˊ ㄆㄧㄥˊ ㄍㄨㄛˇ
ꀊꁈ ꆏꌠ ꉙꌠ
ᐊᐱᓪ ᐊᐅᐸᖅᑐᖅ, ᐃᓄᒃᑎᑐᑦ
ⵜⴰⴷⴼⴼⵓⵢⵜ ⵜⴰⵣⴳⴳⴰⵖⵜ, ⵜⴰⵎⴰⵣⵉⵖⵜ
ᱟᱨᱟᱜ ᱥᱮᱣ, ᱥᱟᱱᱛᱟᱲᱤ
ꯑꯉꯥꯡꯕ ꯁꯦꯎ, ꯃꯤꯇꯩꯂꯣꯟ
ꦲꦥꦼꦭ꧀ ꦲꦧꦁ, ꦧꦱꦗꦮ
ᬅᬧᭂᬮ᭄ ᬩᬭᬓ᭄
ᮃᮕᮨᮜ᮪ ᮘᮩᮛᮩᮙ᮪
ᨕᨄᨙᨒᨙ ᨌᨙᨒ
𞤀𞤁𞤂𞤃 𞤢𞤣𞤤𞤥, 𞤜𞤵𞤤𞤢𞤪
𐓏𐓘𐓻𐓘𐓻𐓟 𐒰𐒱
𑄇𑄬𑄋𑄴 𑄌𑄋𑄴𑄟𑄳𑄦
𐴌𐴟𐴇𐴥𐴝𐴚𐴒𐴙𐴝
""".strip().splitlines()
