"""Short texts in six languages, and files of them in the encodings that such texts once had."""

from __future__ import annotations

import random

#: By encoding: sentences of a help desk, the first half for development and the others held out.
SENTENCES = {
    ("de", "cp1252"): """Die Heizung läuft nicht
Der Schlüssel für die Haustür fehlt
Bitte schicken Sie mir die Rechnung für März
Das Licht im Flur geht nicht mehr an
Wir können uns nicht anmelden
Mein Gerät ist zu laut und wird heiß
Der Zähler wurde falsch abgelesen
Wann kommt der Müllwagen in unsere Straße
Ich möchte meinen Vertrag kündigen
Die Lieferung ist beschädigt angekommen
Im Keller steht Wasser
Der Aufzug hält nicht im dritten Stock
Ich habe das Passwort vergessen
Die Überweisung ist noch nicht eingegangen
Unser Büro zieht im Oktober um
Das Fenster schließt nicht richtig
Bitte ändern Sie meine Adresse
Der Drucker druckt nur weiße Seiten
Für die Prüfung fehlen mir Unterlagen
Es riecht im Treppenhaus nach Gas""",
    ("fr", "cp1252"): """Le chauffage ne marche plus
La porte d’entrée est cassée
Je n’ai pas reçu ma facture de février
Où puis-je déposer ma réclamation
Mon compte est bloqué depuis hier
Le colis a été livré à la mauvaise adresse
Pouvez-vous rappeler après dix-huit heures
L’ascenseur s’arrête au deuxième étage
J’ai oublié mon mot de passe
Le prélèvement a eu lieu deux fois
Il y a une fuite d’eau dans la cave
Ça sent le gaz dans l’escalier
Je voudrais résilier mon contrat
La clé ne tourne pas dans la serrure
Les fenêtres de la chambre ferment mal
Merci de modifier mon numéro de téléphone
La lumière du couloir ne s’allume plus
Le compteur a été mal relevé
Ma commande n’est pas arrivée
Les poubelles n’ont pas été vidées""",
    ("pl", "cp1250"): """Ogrzewanie nie działa
Proszę przesłać fakturę za luty
Nie mogę zalogować się do konta
Winda zatrzymuje się między piętrami
Klucz nie pasuje do drzwi wejściowych
Paczka przyszła uszkodzona
Chciałbym rozwiązać umowę
Światło na korytarzu nie świeci
Licznik został źle odczytany
Kiedy przyjedzie śmieciarka
W piwnicy stoi woda
Zapomniałem hasła
Przelew jeszcze nie dotarł
Proszę zmienić mój adres
Drukarka drukuje puste strony
Okno się nie domyka
Na klatce czuć gaz
Sąsiad hałasuje po dziesiątej
Brakuje mi dokumentów do wniosku
Dziękuję za szybką odpowiedź""",
    ("tr", "cp1254"): """Kalorifer çalışmıyor
Şubat faturamı gönderir misiniz
Hesabıma giriş yapamıyorum
Asansör üçüncü katta durmuyor
Anahtar kapıya uymuyor
Paket hasarlı geldi
Sözleşmemi iptal etmek istiyorum
Koridordaki ışık yanmıyor
Sayaç yanlış okunmuş
Çöp kamyonu ne zaman gelecek
Bodrumda su var
Şifremi unuttum
Havale henüz ulaşmadı
Lütfen adresimi değiştirin
Yazıcı boş sayfa basıyor
Pencere tam kapanmıyor
Merdivende gaz kokusu var
Komşum gece gürültü yapıyor
Başvuru için belgelerim eksik
Hızlı yanıtınız için teşekkürler""",
    ("el", "cp1253"): """Η θέρμανση δεν λειτουργεί
Παρακαλώ στείλτε μου τον λογαριασμό
Δεν μπορώ να συνδεθώ
Το ασανσέρ σταματά στον δεύτερο όροφο
Το κλειδί δεν ταιριάζει στην πόρτα
Το δέμα έφτασε κατεστραμμένο
Θέλω να ακυρώσω το συμβόλαιο
Το φως στον διάδρομο δεν ανάβει
Ο μετρητής διαβάστηκε λάθος
Πότε θα περάσει το απορριμματοφόρο
Υπάρχει νερό στο υπόγειο
Ξέχασα τον κωδικό μου
Η πληρωμή δεν έχει φτάσει ακόμη
Αλλάξτε παρακαλώ τη διεύθυνσή μου
Ο εκτυπωτής βγάζει λευκές σελίδες
Το παράθυρο δεν κλείνει καλά
Μυρίζει αέριο στις σκάλες
Ο γείτονας κάνει φασαρία
Μου λείπουν έγγραφα για την αίτηση
Ευχαριστώ για τη γρήγορη απάντηση""",
    ("ru", "cp1251"): """Отопление не работает
Пришлите, пожалуйста, счёт за февраль
Не могу войти в личный кабинет
Лифт не останавливается на третьем этаже
Ключ не подходит к двери
Посылка пришла повреждённой
Хочу расторгнуть договор
Свет в коридоре не горит
Счётчик сняли неправильно
Когда приедет мусоровоз
В подвале стоит вода
Я забыл пароль
Перевод ещё не поступил
Измените, пожалуйста, мой адрес
Принтер печатает пустые страницы
Окно плохо закрывается
На лестнице пахнет газом
Сосед шумит по ночам
Не хватает документов для заявки
Спасибо за быстрый ответ""",
}


def files(heldout: bool) -> list[tuple[str, str, bytes]]:
    """Return language, text and bytes of ten files of each language, of 5 to 50 short lines."""
    made = []
    for (language, encoding), text in SENTENCES.items():
        half = text.split("\n")[10:] if heldout else text.split("\n")[:10]
        for seed in range(10):
            rng = random.Random(f"{language}{seed}{heldout}")
            n_lines = 5 * (seed + 1)
            rows = [
                f"{rng.randrange(10_000)};{rng.choice(half)};{rng.choice('abc')}"
                for _ in range(n_lines)
            ]
            content = "\n".join(["id;text;topic", *rows])
            made.append((language, content, content.encode(encoding)))
    return made
