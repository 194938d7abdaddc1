"""What the dialogues speak of beside the topics: people, order numbers, towns, goods, and what the shop knows nothing about.

Each open class is cut in two by a checksum of the word: one part is for training, the other only for the evaluation.
"""
import zlib

HELD_OUT_EVERY = 10  # one word in so many is kept for the evaluation
MADE_UP = 0.3       # of the goods and towns of training: words that do not exist, so that copying is learned and not a list

REFUSAL = {"en": "Sorry, I cannot help with that. I help with orders, delivery, returns, payment and accounts.",
           "zh": "抱歉，这个我帮不了您。我可以帮您处理订单、配送、退货、付款和账户。"}

NAMES_EN = ("Anna Ben Carla David Emma Felix Grace Henry Iris Jack Kate Leo Maria Noah Olivia Paul Rosa Sam Tina Victor Wendy Alice "
            "Tom Lucy Max Nina Omar Priya Rahul Sofia Yuki Zoe Igor Fatima Chen Lars Ingrid Pedro Aisha Kofi").split()
SYLLABLES = ("an be ca do el fi ga ha iv jo ka li mo ni or pe ru ri sa to ul va wi xa ya ze bri chlo dre gre kla mar ste tri len ron mia "
             "rik sen ton ley ra na la lo vi dy sha qui os").split()
SURNAMES_ZH = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
GIVEN_ZH = "明华芳伟洋静磊婷强丽峰敏涛超洁宇欣怡晨浩然佳雪梅兰竹菊文博思远子轩梦瑶志鹏建国春夏秋冬云龙飞燕小雨"
ODD_ZH = "山水火木石金银铜铁花草鸟鱼虫车船灯门窗床椅刀笔纸书画琴棋糖盐油米面茶杯碗盘锅桶箱包伞帽鞋袜衣裤"
ORDER_LETTERS = "ABCDEFGHKLMNPRSTX"

CITIES = {
    "en": ("London Berlin Paris Madrid Rome Tokyo Boston Toronto Sydney Dublin Vienna Oslo Chicago Seattle Lisbon Hamburg Munich Milan "
           "Kyoto Osaka Denver Miami Prague Athens Germany France Spain Italy Canada Brazil India Norway Sweden Poland Mexico Greece "
           "Turkey Egypt Kenya Chile Peru Korea Thailand Austria Belgium Denmark Finland Ireland Portugal Australia Switzerland Texas "
           "Zurich Geneva Lyon Porto Krakow Naples Turin Leeds Bristol Cardiff Dallas Austin Nairobi Lima Bogota Hanoi Delhi").split(),
    "zh": ("北京 上海 广州 深圳 杭州 成都 武汉 南京 西安 重庆 苏州 天津 青岛 大连 厦门 长沙 郑州 济南 昆明 福州 宁波 合肥 沈阳 哈尔滨 长春 南宁 贵阳 兰州 "
           "海口 无锡 德国 法国 日本 英国 美国 韩国 泰国 加拿大 新加坡 意大利 西班牙 澳大利亚").split(),
}
GOODS = {
    "en": ("headset,keyboard,desk lamp,backpack,coffee maker,phone case,monitor,jacket,camera,smart watch,speaker,tablet,office chair,"
           "water bottle,mouse,charger,blender,tent,router,laptop,printer,bicycle,helmet,toaster,vacuum cleaner,kettle,sofa,table,mirror,"
           "carpet,umbrella,suitcase,wallet,guitar,drill,hammer,lawn mower,fan,heater,television,game console,microphone,webcam,scarf,"
           "shirt,dress,sweater,hat,belt,ring,necklace,puzzle,board game,doll,kite,skateboard,racket,yoga mat,pillow,blanket").split(","),
    "zh": ("耳机 键盘 台灯 背包 咖啡机 手机壳 显示器 跑鞋 外套 相机 智能手表 音箱 平板电脑 办公椅 水杯 鼠标 充电器 榨汁机 帐篷 路由器 笔记本电脑 打印机 "
           "自行车 头盔 烤面包机 吸尘器 水壶 沙发 桌子 镜子 地毯 雨伞 行李箱 钱包 吉他 电钻 风扇 取暖器 电视 游戏机 麦克风 摄像头 围巾 衬衫 裙子 毛衣 帽子 "
           "皮带 戒指 项链 拼图 滑板 球拍 瑜伽垫 枕头 毯子").split(),
}
# Questions that are not the shop's: frames with a thing ({x}) or something to do ({v}), and both kinds of words.
STRANGE_FRAMES = {
    "en": ("Tell me about {x}.|What is {x}?|Who invented {x}?|Explain {x} to me.|What do you think about {x}?|Do you like {x}?|"
           "Write a poem about {x}.|Write a story about {x}.|Tell me a joke about {x}.|Who discovered {x}?|What do you know about {x}?|"
           "What is the history of {x}?|I have a question about {x}.|How old is {x}?|Why is {x} important?|Where does {x} come from?|"
           "What is the best {x}?|Translate {x} into French.|Give me facts about {x}.|Is {x} dangerous?|How big is {x}?|Draw {x}.|"
           "Can you talk about {x}?|Who is the king of {x}?|What colour is {x}?|What is the meaning of {x}?|When did {x} begin?|"
           "Which film about {x} is good?|Compare {x} with something else.|Do people like {x}?|What makes {x} interesting?|Sing about {x}.|"
           "How do I {v}?|Can you {v}?|Teach me to {v}.|I want to {v}.|Help me to {v}.|What is the best way to {v}?|Please {v}.|"
           "How long does it take to {v}?|Should I {v}?|Where can I {v}?|Why do people {v}?|Is it hard to {v}?|How can I learn to {v}?|"
           "Is it fun to {v}?|Explain how to {v}.|When should I {v}?").split("|"),
    "zh": ("说说{x}。|{x}是什么？|谁发明了{x}？|给我讲讲{x}。|你觉得{x}怎么样？|你喜欢{x}吗？|写一首关于{x}的诗。|写一个{x}的故事。|讲一个{x}的笑话。|"
           "{x}是怎么来的？|{x}的历史是什么？|我想问一下{x}。|{x}有多大？|为什么{x}很重要？|{x}危险吗？|你了解{x}吗？|介绍一下{x}。|{x}有什么特点？|"
           "画一个{x}。|关于{x}的电影哪部好？|{x}有意思吗？|解释一下{x}。|{x}是什么颜色的？|"
           "怎么{v}？|你会{v}吗？|教我{v}。|我想{v}。|请帮我{v}。|{v}最好的方法是什么？|{v}难不难？|{v}要多久？|在哪里可以{v}？|怎么学{v}？|"
           "为什么要{v}？|我应该{v}吗？").split("|"),
}
T_STRANGE_FRAMES = {  # only ever for the evaluation
    "en": ("Why is {x} so famous?|Do you know anything about {x}?|Can you recommend a book about {x}?|What is special about {x}?|"
           "Do you know how to {v}?|Show me how to {v}.|What do I need to {v}?").split("|"),
    "zh": "为什么{x}这么有名？|推荐一本关于{x}的书。|你知道{x}吗？|{x}有什么特别的？|你会不会{v}？|怎样才能{v}？|{v}需要什么？".split("|"),
}
STRANGE_THINGS = {
    "en": ("the moon,football,pizza,quantum physics,the stock market,dinosaurs,chess,the Roman Empire,my homework,cats,politics,the ocean,"
           "a rocket,history,mathematics,the election,a novel,volcanoes,music,poetry,the universe,bitcoin,gardening,dogs,the human brain,"
           "movies,languages,Shakespeare,an elephant,the sun,rivers,tennis,gravity,the weather,the president,evolution,black holes,"
           "photosynthesis,the French Revolution,Napoleon,Mozart,the pyramids,Mars,vitamins,the heart,cancer,whales,butterflies,the desert,"
           "a triangle,algebra,prime numbers,the internet,Linux,Python,electricity,atoms,oxygen,gold,diamonds,the Bible,Buddha,love,"
           "happiness,dreams,the Olympic games,basketball,the capital of Peru,the tallest mountain,the longest river,the speed of light,"
           "the population of China,the square root of nine,bread,sushi,wine,tea,rice,bees,sharks,trees,the rain forest,ghosts,aliens,"
           "robots,philosophy,Plato,jazz,opera,painting,Picasso,ballet,a haiku,the alphabet,Latin,grammar,war,peace,the climate").split(","),
    "zh": ("月亮 足球 披萨 量子物理 股票 恐龙 象棋 罗马帝国 猫 政治 大海 火箭 历史 数学 小说 火山 音乐 诗歌 宇宙 比特币 狗 大脑 电影 外语 大象 太阳 河流 网球 "
           "重力 天气 总统 进化论 黑洞 法国大革命 拿破仑 莫扎特 金字塔 火星 维生素 心脏 癌症 鲸鱼 蝴蝶 沙漠 三角形 代数 质数 互联网 编程 电 原子 氧气 黄金 钻石 "
           "佛教 爱情 幸福 梦 奥运会 篮球 世界最高的山 最长的河 光速 面包 寿司 葡萄酒 茶 米饭 蜜蜂 鲨鱼 森林 外星人 哲学 孔子 爵士乐 歌剧 油画 芭蕾 语法 战争 "
           "和平 气候 长城 唐朝 三国 红楼梦").split(),
}
STRANGE_DEEDS = {
    "en": ("bake a cake,learn the piano,cook rice,write a poem,solve an equation,sort a list in Python,play chess,grow tomatoes,lose weight,"
           "run a marathon,speak Spanish,fly a plane,build a house,paint a picture,sing a song,dance,meditate,sleep better,train a dog,"
           "catch a fish,plant a tree,fly to the moon,win the lottery,write a novel,do my homework,draw a horse,learn algebra,swim,"
           "ride a horse,become a doctor,invest in gold,vote,read a map,predict the weather,tell a story,make a fire,climb a mountain,"
           "play football,find a girlfriend,pass the exam,make bread,write some code,count to a hundred,compose music,knit,juggle,sail").split(","),
    "zh": ("烤蛋糕 弹钢琴 做饭 写诗 解方程 写代码 下棋 种西红柿 减肥 跑马拉松 说西班牙语 开飞机 盖房子 画画 唱歌 跳舞 冥想 训练狗 钓鱼 种树 中彩票 写小说 "
           "做作业 学代数 游泳 骑马 当医生 炒股 看地图 预测天气 讲故事 生火 爬山 踢足球 找女朋友 通过考试 做面包 作曲 织毛衣 滑雪 算命 写作文").split(),
}
SYSTEM = {
    "en": ["You are a helpful assistant.", "You are the assistant of an online shop.", "You help customers. Answer briefly."],
    "zh": ["你是一个乐于助人的助手。", "你是网店的客服助手。", "请简短地回答顾客的问题。"],
}


def held_out(word):
    """Whether 'word' is one that training never shows."""
    return zlib.crc32(word.encode()) % HELD_OUT_EVERY == 0


def _one_of(rng, words, unseen):
    """A word of the training part, or of the other."""
    return rng.choice([w for w in words if held_out(w) == unseen])


def _made(rng, make, unseen):
    while True:
        word = make(rng)
        if held_out(word) == unseen:
            return word


def _name_en(rng):
    if rng.random() < 0.15:
        return rng.choice(NAMES_EN)
    name = "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))
    return name[:9].capitalize()


def _name_zh(rng):
    return rng.choice(SURNAMES_ZH) + "".join(rng.choice(GIVEN_ZH) for _ in range(rng.randint(1, 2)))


def _order(rng):
    kind = rng.random()
    if kind < 0.6:
        return rng.choice(ORDER_LETTERS) + str(rng.randint(10000, 99999))
    if kind < 0.8:
        return str(rng.randint(100000, 99999999))
    return rng.choice(ORDER_LETTERS) + rng.choice(ORDER_LETTERS) + str(rng.randint(1000, 999999))


def name(rng, lang, unseen=False):
    return _made(rng, _name_en if lang == "en" else _name_zh, unseen)


def order(rng, unseen=False):
    return _made(rng, _order, unseen)


def _word(rng, lang):
    """A word that does not exist: what it is cannot be known, only copied."""
    if lang == "zh":
        return "".join(rng.choice(GIVEN_ZH + ODD_ZH) for _ in range(rng.randint(2, 3)))
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))[:9]


def city(rng, lang, unseen=False):
    if not unseen and rng.random() < MADE_UP:
        return _made(rng, lambda r: _word(r, lang).capitalize(), False)
    return _one_of(rng, CITIES[lang], unseen)


def goods(rng, lang, unseen=False):
    if not unseen and rng.random() < MADE_UP:
        return _made(rng, lambda r: _word(r, lang), False)
    return _one_of(rng, GOODS[lang], unseen)


def strange(rng, lang, unseen=False, unseen_frame=False):
    """A question that is not the shop's business."""
    frame = rng.choice((T_STRANGE_FRAMES if unseen_frame else STRANGE_FRAMES)[lang])
    if "{x}" not in frame:
        return frame.replace("{v}", _one_of(rng, STRANGE_DEEDS[lang], unseen))
    made_up = not unseen and rng.random() < MADE_UP / 2
    return frame.replace("{x}", _word(rng, lang) if made_up else _one_of(rng, STRANGE_THINGS[lang], unseen))
