"""What the dialogues speak of beside the topics: people, order numbers, towns, goods, and what the shop knows nothing about.

Each open class is cut in two by a checksum of the word: one part is for training, the other only for the evaluation.
"""
import zlib

import template

HELD_OUT_EVERY = 10  # one word in so many is kept for the evaluation
MADE_UP = 0.7        # of the goods and towns of training: words that do not exist, so that copying is learned and not a list

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
MORE_STRANGE_FRAMES = {  # only ever for training, with choices as in phrases.py
    "en": [
        "Why (is|are|was) {x} (popular|interesting|old|big|bad|good|expensive)?",
        "(How|Why|When|Where) (is|was) {x} (made|found|discovered|invented|built)?", "Is {x} (better|older|bigger|nicer) than {y}?",
        "(Do|Did) (you|people|they) (see|eat|study|understand|know|need|love|hate) {x}?",
        "(Which|What) (book|film|song|school|country) is about {x}?", "Name (three|some|five) things about {x}.",
        "What (happened|happens|would happen) (to|with|without) {x}?", "(Is|Was) {x} (real|true|big|far away|healthy|a good idea)?",
        "(What|How) (much|many) (do|does) {x} (weigh|cost|need)?", "{x} or {y}?", "What do {x} and {y} have in common?",
        "Who (likes|made|owns|painted|wrote|won) {x}?", "(Let us|Let's|I want to) (talk|speak|chat|learn) about {x}.",
        "I (love|like|hate|study|read about) {x}.", "My (teacher|friend|brother|mother) (likes|asks about|talks about) {x}.",
        "Can {x} (fly|swim|think|be dangerous|help me)?", "(Please |)(describe|discuss|summarise|draw|paint) {x}.",
        "Give me (a definition|an example|a picture|a list) of {x}.", "How (far|tall|deep|heavy|hot|fast|long) is {x}?",
        "Where (on earth |)(is|are|was) {x}?", "What (sound|shape|number|size|language) (does|has) {x} (make|have)?", "{x}?",
        "{x}, please.", "I wonder about {x}.", "(I would like|I need|I plan|I try) to {v}.",
        "(My friend|My brother|She|He) (wants|likes) to {v}.", "(What|Which) tools (are|is) good to {v}?",
        "Could (you|we|anybody) {v}( for me| with me|)?", "Let us {v}( together| now| tomorrow|).",
        "Is it (good|healthy|dangerous|legal|allowed|expensive) to {v}?", "Who can {v} (best|well)?",
        "Tell me (how one can|where to|when to|why I should) {v}.", "(Will|Would) you {v} (for me|with me)?",
        "(A plan|A recipe|Tips|Some advice|A guide) to {v}(, please|).", "At what age can (children|people|you) {v}?",
        "Did you ever {v}?", "I (cannot|never could|never learned to) {v}.", "Give me (tips|advice|a plan) to {v}.",
        "What (happens|is it like) when I {v}?"],
    "zh": [
        "{x}(为什么|怎么)这么(大|贵|好|难|受欢迎)？",
        "{x}(是|)(什么时候|在哪里|怎么)(发明|发现|建造|出现)的？",
        "{x}和{y}(哪个好|有什么区别|有什么关系)？", "(你|人们)(吃|学|看|喜欢|讨厌)过{x}吗？",
        "哪(首歌|部电影|个国家)和{x}有关？", "说出{x}的三个特征。", "没有{x}会怎么样？",
        "{x}(是真的吗|好不好|远不远|重不重)？", "{x}还是{y}？", "谁(喜欢|写了|画了|拥有){x}？",
        "(我们|我想)(聊聊|谈谈|学学){x}。", "我(喜欢|讨厌|在学|爱){x}。",
        "我的(老师|朋友|妈妈)(喜欢|总说){x}。", "{x}会(飞|游泳|思考|死)吗？",
        "请(描述|总结|翻译|分析)一下{x}。", "给我(一张|看){x}的(图|照片|例子)。",
        "{x}有多(远|高|深|重|热|快)？", "{x}在(地球上|世界上)哪里？", "{x}呢？", "{x}。",
        "{x}的(意思|颜色|大小|价值)是什么？", "我(打算|需要|喜欢|不会){v}。",
        "我(朋友|弟弟|妈妈)想{v}。", "用什么工具{v}好？", "(我们|一起){v}(吧|好吗)？",
        "{v}(好吗|健康吗|危险吗|贵不贵|合法吗)？", "谁{v}最好？",
        "告诉我(什么时候|在哪里|为什么)要{v}。", "陪我{v}(吧|好吗)？",
        "给我一些{v}的(建议|技巧|计划)。", "几岁可以{v}？", "你{v}过吗？", "我一直学不会{v}。",
        "{v}的时候要注意什么？"],
}
MORE_STRANGE = {  # things, then deeds: only ever for training
    "en": ("snow,clouds,salt,milk,iron,silver,horses,cows,spiders,mountains,castles,knights,kings,trains,ships,bridges,deserts,lakes,storms,"
           "fire,clocks,Einstein,Newton,Beethoven,Rembrandt,Hamlet,Rome in old times,the king of Spain,the future,the past,yoga,boxing,golf,rugby,"
           "skiing,geometry,statistics,chemistry,biology,economics,taxes,law,medicine,the flu,a headache,sleep,food,cheese,soup,coffee beans,"
           "potatoes,apples,roses,mushrooms,the moon landing,planets,comets,the ozone layer,Greek gods,Christmas,Easter,holidays in the sun,"
           "children,marriage,friendship,fear,time,the number seven,the letter Q,the word hello,Chinese,Spanish verbs,the Second World War,"
           "the United Nations,the mayor,the news,a good joke,my cat,my neighbour,my boss,my car,my teeth,my dog".split(","),
           "fry an egg,boil potatoes,make soup,cook pasta,drive a car,repair my car,ride a bike,learn Chinese,study law,write a letter to my mother,"
           "write a song,draw a cat,paint the wall,clean the window,wash my hair,sleep,fall asleep,wake up early,find a job,find friends,"
           "find a flat,get married,be happy,be rich,save money,buy a house,stop smoking,drink less,eat well,grow roses,feed a cat,hold a speech,"
           "tie a knot,start a fire,jump high,run fast,lift weights,play tennis,play the guitar,play cards,solve a riddle,prove a theorem,"
           "compute an integral,sort numbers,program a robot,hack a computer,translate a text,spell a word,visit the moon,see the stars,"
           "travel to Mars,dig a hole,build a boat,sew a shirt,tell a joke,say hello in Latin".split(",")),
    "zh": ("雪 云 盐 牛奶 铁 马 牛 蜘蛛 高山 城堡 国王 火车 轮船 大桥 湖 暴风雨 钟 爱因斯坦 牛顿 贝多芬 哈姆雷特 未来 过去 瑜伽 拳击 高尔夫 滑冰 几何 统计 化学 生物 经济 "
           "税 法律 医学 感冒 头痛 睡眠 奶酪 汤 咖啡豆 土豆 苹果 玫瑰 蘑菇 登月 行星 彗星 希腊神话 春节 中秋节 婚姻 友情 时间 数字七 英语 日语 第二次世界大战 联合国 市长 "
           "新闻 笑话 我的猫 邻居 牙齿 西游记 李白 杜甫 秦始皇 长江 黄河 喜马拉雅山 书法 京剧 功夫 熊猫".split(),
           "煎鸡蛋 煮土豆 做汤 包饺子 开车 修车 骑车 学中文 学法律 写信 写歌 画猫 刷墙 洗头 睡觉 早起 找工作 交朋友 租房 结婚 发财 省钱 买房 戒烟 养花 喂猫 演讲 打结 "
           "跳高 跑步 举重 打网球 弹吉他 打牌 猜谜 证明定理 算积分 排序 造机器人 翻译文章 看星星 去火星 挖洞 造船 缝衣服 讲笑话 打太极 练书法 背古诗 学游泳".split()),
}
SYSTEM = {
    "en": ["You are a helpful assistant.", "You are the assistant of an online shop.", "You help customers. Answer briefly."],
    "zh": ["你是一个乐于助人的助手。", "你是网店的客服助手。", "请简短地回答顾客的问题。"],
}


ONSETS = "b c ch d f g gl h j k l m n p pl qu r s sh st t th tr v w y z bl br cl cr dr fl fr gr pr sk sl sm sn sp str sw tw".split()
NUCLEI = "a e i o u a e i o u ai ea ee oo ou".split()
CODAS = ["", "", "", *"n r l s t m d ck ll st ng nd nt rt x p b g".split()]
SHOP_EN = ("charge order parcel return deliver payment card shipping voucher points gift person account letter price house street paper button "
           "light water garden winter letter carton motor under over black green small large first second").split()
COMMON_ZH = bytes(b for row in range(0xB0, 0xD7) for column in range(0xA1, 0xFA) for b in (row, column)).decode("gb2312")  # the 3,471 commonest


def held_out(word):
    """Whether 'word' is one that training never shows."""
    return zlib.crc32(word.encode()) % HELD_OUT_EVERY == 0


def _parts(words):
    return [w for w in words if not held_out(w)]


KNOWN_EN = sorted({w.lower() for group in (GOODS["en"], CITIES["en"], STRANGE_THINGS["en"], STRANGE_DEEDS["en"], SHOP_EN) for part in _parts(group)
                   for w in part.split(" ") if len(w) > 3})
KNOWN_ZH = sorted({c for group in (GOODS["zh"], CITIES["zh"], STRANGE_THINGS["zh"], STRANGE_DEEDS["zh"]) for w in _parts(group) for c in w})


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
    if lang == "en" and not unseen and rng.random() < MADE_UP / 2:
        return _made(rng, lambda r: _word(r, lang).split(" ")[0].capitalize(), False)
    return _made(rng, _name_en if lang == "en" else _name_zh, unseen)


def order(rng, unseen=False):
    return _made(rng, _order, unseen)


def _syllable(rng):
    return rng.choice(ONSETS) + rng.choice(NUCLEI) + rng.choice(CODAS)


def _word(rng, lang):
    """A word that does not exist: what it is cannot be known, only copied. Of all kinds of tokens, and sometimes of two words."""
    if lang == "zh":
        letters = rng.choice((GIVEN_ZH + ODD_ZH, KNOWN_ZH, KNOWN_ZH, COMMON_ZH))
        return "".join(rng.choice(COMMON_ZH if rng.random() < 0.15 else letters) for _ in range(rng.choice((2, 2, 2, 3, 3, 4, 5))))
    kind = rng.random()
    if kind < 0.25:
        return _word(rng, lang).split(" ")[0][:7] + " " + _word(rng, lang).split(" ")[-1][:8]
    if kind < 0.65:
        base = rng.choice(KNOWN_EN)
        at = rng.randint(2, len(base))
        return (base[:at] + rng.choice(("", _syllable(rng), "er", "or", "le", "on")))[:11] if rng.random() < 0.75 else _syllable(rng) + base[-at:]
    if kind < 0.9:
        return "".join(_syllable(rng) for _ in range(rng.randint(1, 3)))[:10]
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))[:9]


def _deed(rng, lang):
    return rng.choice(("学", "做", "玩", "修", "打")) + _word(rng, lang) if lang == "zh" else _word(rng, lang).split(" ")[0] + rng.choice((" a ", " the ", " ")) + _word(rng, lang)


def city(rng, lang, unseen=False):
    if not unseen and rng.random() < MADE_UP:
        return _made(rng, lambda r: _word(r, lang).title(), False)
    return _one_of(rng, CITIES[lang], unseen)


def goods(rng, lang, unseen=False):
    if not unseen and rng.random() < MADE_UP:
        return _made(rng, lambda r: _word(r, lang), False)
    return _one_of(rng, GOODS[lang], unseen)


def strange(rng, lang, unseen=False, unseen_frame=False):
    """A question that is not the shop's business; those of training are of far more kinds."""
    things, deeds = STRANGE_THINGS[lang], STRANGE_DEEDS[lang]
    frames = (T_STRANGE_FRAMES if unseen_frame else STRANGE_FRAMES)[lang]
    if not unseen:
        things, deeds = [*things, *MORE_STRANGE[lang][0]], [*deeds, *MORE_STRANGE[lang][1]]
        frames = rng.choice((frames, MORE_STRANGE_FRAMES[lang]))
    frame = rng.choice(frames)
    if not unseen:
        frame = template.Template(frame).say(rng)

    def filling(words, make):
        return make(rng, lang) if not unseen and rng.random() < MADE_UP / 2 else _one_of(rng, words, unseen)

    if "{v}" in frame:
        return frame.replace("{v}", filling(deeds, _deed))
    said = frame.replace("{x}", filling(things, _word))
    said = said.replace("{y}", filling(things, _word)) if "{y}" in said else said
    return said[0].upper() + said[1:]
